"""Broken on purpose: knows when to leave, but never enters."""

from freqtrade.strategy import IStrategy


class OnlyExits(IStrategy):
    timeframe = "1h"
    stoploss = -0.10

    def populate_indicators(self, dataframe, metadata):
        dataframe["mean"] = dataframe["close"].rolling(20).mean()
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] < dataframe["mean"], "exit_long"] = 1
        return dataframe
