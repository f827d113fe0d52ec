"""Broken on purpose: the bracket in populate_indicators is never closed."""

from freqtrade.strategy import IStrategy


class HalfFinished(IStrategy):
    def populate_indicators(self, dataframe, metadata):
        dataframe["mean"] = dataframe["close"].rolling(10).mean(
        return dataframe
