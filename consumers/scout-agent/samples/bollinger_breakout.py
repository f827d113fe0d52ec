"""Buys when the price leaves its band upwards. Names its base class through the module."""

from freqtrade import strategy


class BollingerBreakout(strategy.IStrategy):
    timeframe = "4h"
    minimal_roi = {"0": 0.10}
    stoploss = -0.12

    def populate_indicators(self, dataframe, metadata):
        middle = dataframe["close"].rolling(20).mean()
        spread = dataframe["close"].rolling(20).std()
        dataframe["upper"] = middle + 2 * spread
        dataframe["middle"] = middle
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] > dataframe["upper"], "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] < dataframe["middle"], "exit_long"] = 1
        return dataframe
