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

def buckets_of(every, zone="UTC", origin=None):
    u={"s":1,"m":60,"h":3600,"d":86400}
    return Fixed(int(every[:-1])*u[every[-1]]*1_000_000)
