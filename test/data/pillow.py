"""Writes pillow.json: small images, and what Pillow makes of them. Needs Pillow and numpy.

    python test/data/pillow.py > test/data/pillow.json
"""
import base64, io, json
import numpy as np
from PIL import Image, ImageOps
import PIL

rng = np.random.default_rng(1)
y, x = np.mgrid[0:11, 0:17]
smooth = np.stack([x * 15, y * 23, 255 - (x + y) * 9], -1).clip(0, 255).astype(np.uint8)
noisy = (smooth.astype(int) + rng.integers(-40, 40, smooth.shape)).clip(0, 255).astype(np.uint8)


def flat(array):
    return np.asarray(array).astype(int).ravel().tolist()


def encode(image, format, **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return base64.b64encode(out.getvalue()).decode()


def image(name, image, format, tolerance=0, plain=0, **options):
    """plain: the greatest difference that decoders in JavaScript may show."""
    file = encode(image, format, **options)
    opened = ImageOps.exif_transpose(Image.open(io.BytesIO(base64.b64decode(file))))
    if opened.mode.startswith("I;16"):
        rgb = np.stack([np.asarray(opened).astype(int) >> 8] * 3, -1)
    else:
        rgb = np.asarray(opened.convert("RGB"))
    return {"name": name, "file": file, "height": rgb.shape[0], "width": rgb.shape[1], "rgb": flat(rgb),
            "tolerance": tolerance, "plain": plain}


rgb = Image.fromarray(smooth)
alpha = Image.fromarray(np.concatenate([noisy, (x * 15)[..., None].astype(np.uint8)], -1), "RGBA")
images = [
    image("JPEG", rgb, "JPEG", quality=95, subsampling=0, plain=2),
    image("JPEG with chroma of half size", rgb, "JPEG", quality=90, subsampling=2, plain=24),
    image("progressive JPEG", rgb, "JPEG", quality=95, subsampling=0, progressive=True, plain=2),
    image("grey JPEG", rgb.convert("L"), "JPEG", quality=95, plain=2),
    image("CMYK JPEG", rgb.convert("CMYK"), "JPEG", quality=95, tolerance=8, plain=8),
    image("PNG", Image.fromarray(noisy), "PNG"),
    image("PNG with alpha", alpha, "PNG"),
    image("grey PNG", Image.fromarray(noisy).convert("L"), "PNG"),
    image("grey PNG with alpha", alpha.convert("LA"), "PNG"),
    image("PNG with a palette", Image.fromarray(noisy).quantize(16), "PNG"),
    image("PNG of one bit", Image.fromarray(noisy).convert("1"), "PNG"),
    image("grey PNG of 16 bits", Image.fromarray((noisy[..., 0].astype(np.uint16) << 8) + 77), "PNG"),
]
for orientation in range(2, 9):
    tagged = Image.Exif()
    tagged[0x0112] = orientation
    images.append(image(f"JPEG with orientation {orientation}", rgb, "JPEG", quality=95, subsampling=0, exif=tagged, plain=2))

resized = []
for width, height in [(8, 5), (17, 5), (9, 11), (33, 29), (3, 2), (1, 1)]:
    for name, filter in [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]:
        out = Image.fromarray(noisy).resize((width, height), filter)
        resized.append({"width": width, "height": height, "filter": name, "rgb": flat(out)})

print(json.dumps({"pillow": PIL.__version__, "source": {"height": 11, "width": 17, "rgb": flat(noisy),
                  "grey": flat(Image.fromarray(noisy).convert("L"))}, "resized": resized, "images": images},
                 separators=(",", ":")))
