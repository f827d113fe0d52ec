"""Someone's copy with another threshold, but the same class name: a duplicate."""

from freqtrade.strategy import IStrategy


class RsiRebound(IStrategy):
    timeframe = "15m"
    stoploss = -0.05

    def populate_indicators(self, dataframe, metadata):
        change = dataframe["close"].diff()
        gain = change.clip(lower=0).rolling(14).mean()
        loss = -change.clip(upper=0).rolling(14).mean()
        dataframe["rsi"] = 100 - 100 / (1 + gain / loss)
        return dataframe

    def populate_buy_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["rsi"] < 33, "buy"] = 1
        return dataframe
