"""mp4.py - a video that any browser plays, without an encoder: H.264 whose macroblocks are plain samples (I_PCM).

Each frame is a key frame of one grey, so a seek may land anywhere, and what is shown tells where it landed."""
import struct

SIDE = 128              # pixels; a multiple of 16
PER_SECOND = 10


def ue(n):
    """Exp-Golomb (H.264 9.1)."""
    bits = f"{n + 1:b}"
    return "0" * (len(bits) - 1) + bits


def rbsp(*bits):
    text = "".join(bits) + "1"
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


# 7.3.2.1: baseline, level 3, output in decoding order, no references.
SPS = b"\x67\x42\xc0\x1e" + rbsp(ue(0), ue(0), ue(2), ue(0), "0", ue(SIDE // 16 - 1), ue(SIDE // 16 - 1), "1100")
PPS = b"\x68" + rbsp(ue(0), ue(0), "00", ue(0), ue(0), ue(0), "000", ue(0), ue(0), ue(0), "000")


def grey(second):
    """0 to 255: that of the frames of this second."""
    return 40 + int(second) * 3 % 180


def frame(i):
    """7.3.3: an IDR slice. No two zeros stand together in it, so nothing is to be escaped (7.4.1)."""
    block = bytes([grey(i // PER_SECOND)]) * 256 + b"\x80" * 128
    header = ue(0) + ue(7) + ue(0) + "0000" + ue(i % 2) + "00" + ue(0) + ue(25)    # the first block's type is 25
    header += "0" * (-len(header) % 8)
    start = bytes(int(header[j:j + 8], 2) for j in range(0, len(header), 8))
    nal = b"\x65" + start + (block + b"\x0d\x00") * ((SIDE // 16) ** 2 - 1) + block + b"\x80"
    return struct.pack(">I", len(nal)) + nal


def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def full(kind, *numbers, flags=0):
    """A box of version 0 whose content is 32-bit numbers."""
    return box(kind, struct.pack(f">{1 + len(numbers)}I", flags, *numbers))


UNITY = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def movie(seconds):
    """ISO 14496-12, the index in front."""
    n = seconds * PER_SECOND
    frames = [frame(i) for i in range(n)]
    avcc = box(b"avcC", b"\x01\x42\xc0\x1e\xff\xe1", struct.pack(">H", len(SPS)), SPS, b"\x01",
               struct.pack(">H", len(PPS)), PPS)
    entry = box(b"avc1", bytes(6), b"\0\1", bytes(16), struct.pack(">HHIII", SIDE, SIDE, 0x480000, 0x480000, 0),
                b"\0\1", bytes(32), b"\0\x18\xff\xff", avcc)
    kind = box(b"ftyp", b"isom\0\0\2\0isomavc1")

    def moov(offset):
        table = box(b"stbl", box(b"stsd", struct.pack(">II", 0, 1), entry), full(b"stts", 1, n, 1000 // PER_SECOND),
                    full(b"stsc", 1, 1, n, 1), full(b"stsz", 0, n, *map(len, frames)), full(b"stco", 1, offset))
        media = box(b"minf", full(b"vmhd", 0, 0, flags=1), box(b"dinf", full(b"dref", 1, 12, 0x75726C20, 1)), table)
        return box(b"moov", full(b"mvhd", 0, 0, 1000, seconds * 1000, 0x10000, 0x1000000, 0, 0, *UNITY, *[0] * 6, 2),
                   box(b"trak", full(b"tkhd", 0, 0, 1, 0, seconds * 1000, 0, 0, 0, 0, *UNITY, SIDE << 16, SIDE << 16,
                                     flags=3),
                       box(b"mdia", full(b"mdhd", 0, 0, 1000, seconds * 1000, 0x55C40000),
                           full(b"hdlr", 0, 0x76696465, 0, 0, 0, 0), media)))

    return kind + moov(len(kind) + len(moov(0)) + 8) + box(b"mdat", *frames)
