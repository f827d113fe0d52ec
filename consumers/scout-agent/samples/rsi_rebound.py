"""Buys what has fallen too fast. Written for the older interface, with `buy` and `sell` in its names."""

from freqtrade.strategy import IStrategy


class RsiRebound(IStrategy):
    timeframe = "15m"
    minimal_roi = {"0": 0.03, "60": 0.01}
    stoploss = -0.05

    def populate_indicators(self, dataframe, metadata):
        change = dataframe["close"].diff()
        gain = change.clip(lower=0).rolling(14).mean()
        loss = -change.clip(upper=0).rolling(14).mean()
        dataframe["rsi"] = 100 - 100 / (1 + gain / loss)
        return dataframe

    def populate_buy_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["rsi"] < 28, "buy"] = 1
        return dataframe

    def populate_sell_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["rsi"] > 62, "sell"] = 1
        return dataframe
