"""No strategy, only arithmetic that strategies might share."""


def true_range(dataframe):
    spread = dataframe["high"] - dataframe["low"]
    gap = (dataframe["high"] - dataframe["close"].shift(1)).abs()
    return spread.combine(gap, max)


class Window:
    def __init__(self, length):
        self.length = length
