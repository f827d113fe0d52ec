"""Buys when a short moving average climbs over a long one."""

from freqtrade.strategy import IStrategy


class SmaCrossover(IStrategy):
    timeframe = "1h"
    minimal_roi = {"0": 0.06}
    stoploss = -0.08

    def populate_indicators(self, dataframe, metadata):
        dataframe["short"] = dataframe["close"].rolling(10).mean()
        dataframe["long"] = dataframe["close"].rolling(40).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        above = dataframe["short"] > dataframe["long"]
        dataframe.loc[above & ~above.shift(1, fill_value=False), "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["short"] < dataframe["long"], "exit_long"] = 1
        return dataframe
