"""The twisted Edwards curve of Ed25519 (RFC 8032 §5.1), as far as checking keys needs it."""

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1)


def add(a, b):
    """The sum of two points in affine coordinates."""
    return _affine(_add(_extended(a), _extended(b)))


def multiply(scalar, point):
    """`scalar` times `point`."""
    total, power = _extended(IDENTITY), _extended(point)
    while scalar:
        if scalar & 1:
            total = _add(total, power)
        power = _add(power, power)
        scalar >>= 1
    return _affine(total)


def _extended(point):
    x, y = point
    return x, y, 1, x * y % P


def _affine(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return x * inverse % P, y * inverse % P


def _add(a, b):
    """Addition in extended coordinates (RFC 8032 §5.1.4); complete, so it doubles too."""
    first = (a[1] - a[0]) * (b[1] - b[0]) % P
    second = (a[1] + a[0]) * (b[1] + b[0]) % P
    third, fourth = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = second - first, fourth - third, fourth + third, second + first
    return e * f % P, g * h % P, f * g % P, e * h % P


def x_of(y):
    """The even x of the point with this y, or None if there is none (RFC 8032 §5.1.3)."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * v**3 * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P == (P - u) % P:
        x = x * SQRT_MINUS_ONE % P
    if v * x * x % P != u:
        return None
    return x if x % 2 == 0 else P - x


def in_prime_order_subgroup(point):
    """Whether the point has no part of small order."""
    return multiply(ORDER, point) == IDENTITY


def montgomery_u(y):
    """The u of the Curve25519 point of an Edwards y (RFC 7748 §4.1): (1 + y) / (1 - y)."""
    return (1 + y) * pow(1 - y, P - 2, P) % P


def encode(point):
    """The 32 bytes of a point (RFC 8032 §5.1.2)."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point that 32 bytes stand for in canonical form, or None (RFC 8032 §5.1.3)."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    x = x_of(y) if y < P else None
    if x is None or (x == 0 and sign):
        return None
    return (P - x if sign else x), y


BASE = (x_of(4 * pow(5, P - 2, P) % P), 4 * pow(5, P - 2, P) % P)
