"""Lines of text and sound for the networks that read them: real_data.py lines|chunks MODEL.onnx DATA FOLDER

    pip install onnxruntime numpy pillow transformers

Writes samples that quantizers calibrate with: FOLDER/calibration.npz for quantize_static, and the same ones for Pith, lines.npz or speech.wav. Other
samples measure the result. lines: pieces of the text DATA in 8 fonts of DejaVu and Liberation, 14 to 40 pixels high, with noise and several contrasts,
resized to the input of PP-OCR as its pipeline does. chunks: 32 ms of the recording DATA (16-bit WAV at 16 kHz) after 4 ms before it. The first third
calibrates. The others measure, alone and under noise of 10 and 0 dB, and after them silence and noise.
"""
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageDraw, ImageFont

FONTS = [f"{family}{style}.ttf" for family in ("DejaVuSans", "DejaVuSerif", "LiberationSans-", "LiberationSerif-")
         for style in (("", "-Bold") if family.startswith("DejaVu") else ("Regular", "Italic"))]
HEIGHT, WIDTH = 48, 320
CHUNK, CONTEXT = 512, 64


def session(file):
    return ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def read(network, images, characters):
    """The text that the network reads in each image."""
    for image in images:
        steps = network.run(None, {"x": image[None]})[0][0].argmax(1)
        yield "".join(characters[step] for step, last in zip(steps, [0, *steps]) if step != last)


def characters(file):
    return ["", *session(file).get_modelmeta().custom_metadata_map["character"].split("\n"), " "]


def drawn(text, generator):
    """Pixels of a line as the network takes them, [3, 48, 320] in -1 to 1, or nothing if the line is too wide."""
    font = ImageFont.truetype(FONTS[generator.integers(len(FONTS))], int(generator.integers(14, 41)))
    left, top, right, bottom = font.getbbox(text)
    pad = int(generator.integers(2, 6))
    ink, paper = [int(generator.integers(0, 90)), int(generator.integers(150, 256))][:: int(generator.choice([1, 1, 1, -1]))]
    image = Image.new("L", (right - left + 2 * pad, bottom - top + 2 * pad), paper)
    ImageDraw.Draw(image).text((pad - left, pad - top), text, fill=ink, font=font)
    pixels = np.asarray(image, np.float32) + generator.normal(size=(image.height, image.width)) * generator.integers(0, 25)
    width = int(np.ceil(HEIGHT * image.width / image.height))
    if width > WIDTH:
        return None
    resized = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((width, HEIGHT), Image.Resampling.BILINEAR)
    result = np.zeros((3, HEIGHT, WIDTH), np.float32)
    result[:, :, :width] = np.asarray(resized, np.float32) / 127.5 - 1
    return result


def lines(data, count, seed):
    """Images [count, 3, 48, 320], and their texts."""
    generator = np.random.default_rng(seed)
    text = Path(data).read_text().replace(" @-@ ", "-").replace(" @,@ ", ",").replace(" @.@ ", ".")
    words = [word for word in text.split() if word.isascii() and len(word) > 1 and "<unk>" not in word]
    images, texts = [], []
    while len(images) < count:
        start = int(generator.integers(len(words) - 5))
        piece = " ".join(words[start:start + int(generator.integers(1, 5))])
        image = drawn(piece, generator)
        if image is not None:
            images.append(image)
            texts.append(piece)
    return np.stack(images), texts


def recording(data):
    with wave.open(data) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    third = len(sound) // 3 // CHUNK * CHUNK
    return sound[:third], sound[third:]


def sounds(data):
    """The recordings that measure: of speech, under noise, silence, and noise."""
    speech = recording(data)[1].astype(np.float32) / 32768
    noise = np.random.default_rng(0).normal(size=len(speech)).astype(np.float32) * speech.std()
    return [speech, speech + noise * np.float32(10**-0.5), speech + noise, np.zeros(160_000, np.float32), noise[:160_000]]


def chunks(network, sound):
    """The feeds of each step, and the probability of speech after it."""
    names = {value.name for value in network.get_inputs()}
    rate, state, before = np.array(16000), np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32)
    for start in range(0, len(sound) - CHUNK + 1, CHUNK):
        chunk = np.concatenate([before, sound[start:start + CHUNK]])
        feeds = {"input": chunk[None], "state": state, "sr": rate}
        found, state = network.run(None, {name: value for name, value in feeds.items() if name in names})
        before = chunk[-CONTEXT:]
        yield feeds, float(found[0, 0])


def main(kind, model, data, folder):
    if kind == "lines":
        images, _ = lines(data, 300, 0)
        np.savez(f"{folder}/lines.npz", x=images)
        samples = [{"x": image[None]} for image in images]
    else:
        sound = recording(data)[0]
        with wave.open(f"{folder}/speech.wav", "wb") as file:
            file.setparams((1, 2, 16000, len(sound), "NONE", "not compressed"))
            file.writeframes(sound.tobytes())
        samples = [feeds for feeds, _ in chunks(session(model), sound.astype(np.float32) / 32768)]
    np.savez(f"{folder}/calibration.npz", **{f"{at}/{name}": value for at, sample in enumerate(samples) for name, value in sample.items()})
    print("{}")


if __name__ == "__main__":
    main(*sys.argv[1:])
