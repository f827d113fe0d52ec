"""Follows the momentum that MACD shows, while volume is above its average."""

from freqtrade.strategy import IStrategy


class MacdMomentum(IStrategy):
    timeframe = "1h"
    minimal_roi = {"0": 0.05}
    stoploss = -0.07
    startup_candle_count = 35

    def populate_indicators(self, dataframe, metadata):
        fast = dataframe["close"].ewm(span=12, adjust=False).mean()
        slow = dataframe["close"].ewm(span=26, adjust=False).mean()
        dataframe["macd"] = fast - slow
        dataframe["signal"] = dataframe["macd"].ewm(span=9, adjust=False).mean()
        dataframe["usual_volume"] = dataframe["volume"].rolling(30).mean()
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        rising = dataframe["macd"] > dataframe["signal"]
        busy = dataframe["volume"] > dataframe["usual_volume"]
        dataframe.loc[rising & busy, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["macd"] < dataframe["signal"], "exit_long"] = 1
        return dataframe
