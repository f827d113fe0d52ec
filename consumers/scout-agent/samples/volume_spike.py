"""Buys a rising candle with far more volume than usual."""

from freqtrade.strategy import IStrategy


class VolumeSpike(IStrategy):
    timeframe = "30m"
    minimal_roi = {"0": 0.04}
    stoploss = -0.06
    factor = 3.0

    def populate_indicators(self, dataframe, metadata):
        dataframe["usual_volume"] = dataframe["volume"].rolling(48).median()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        spike = dataframe["volume"] > self.factor * dataframe["usual_volume"]
        dataframe.loc[spike & (dataframe["close"] > dataframe["open"]), "enter_long"] = 1
        return dataframe
