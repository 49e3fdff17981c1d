from dataclasses import dataclass


class Buckets: ...


@dataclass(frozen=True)
class Fixed(Buckets):
    width: int
    origin: int = 0

    def number(self, ts):
        return (ts - self.origin) // self.width

    def bounds(self, k):
        s = k * self.width + self.origin
        return s, s + self.width
