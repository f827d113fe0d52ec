"""Broken on purpose: uses a column that nothing computes."""

from freqtrade.strategy import IStrategy


class BlindFaith(IStrategy):
    timeframe = "1h"
    stoploss = -0.10

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["feeling"] > 0, "enter_long"] = 1
        return dataframe
