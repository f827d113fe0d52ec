"""Buys a new high of the last 20 candles. Kept in a subdirectory, as collections often are."""

from freqtrade.strategy import IStrategy


class DonchianChannel(IStrategy):
    timeframe = "1d"
    stoploss = -0.20

    def populate_indicators(self, dataframe, metadata):
        dataframe["highest"] = dataframe["high"].rolling(20).max().shift(1)
        dataframe["lowest"] = dataframe["low"].rolling(10).min().shift(1)
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] > dataframe["highest"], "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] < dataframe["lowest"], "exit_long"] = 1
        return dataframe
