"""One idea at two speeds: a file with two strategies."""

from freqtrade.strategy import IStrategy


class TwinEmaFast(IStrategy):
    timeframe = "5m"
    stoploss = -0.03

    def populate_indicators(self, dataframe, metadata):
        dataframe["ema"] = dataframe["close"].ewm(span=9, adjust=False).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] > dataframe["ema"], "enter_long"] = 1
        return dataframe


class TwinEmaSlow(IStrategy):
    timeframe = "1d"
    stoploss = -0.15

    def populate_indicators(self, dataframe, metadata):
        dataframe["ema"] = dataframe["close"].ewm(span=50, adjust=False).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["close"] > dataframe["ema"], "enter_long"] = 1
        return dataframe
