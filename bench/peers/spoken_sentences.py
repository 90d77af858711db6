"""Writes folders of WAV files (16 kHz, 16 bits) to measure word error rates on. Nothing of it is committed.

    python bench/peers/spoken_sentences.py OUT [--recording sound.wav]

OUT/spoken: 48 sentences in the voices of espeak-ng, with transcripts.csv; only after `pip install espeakng-loader`.
OUT/recording: with --recording, its parts between pauses, without transcripts.
Prints the numbers of files as JSON.
"""
import argparse
import csv
import ctypes
import json
import wave
from pathlib import Path

import numpy as np

try:
    import espeakng_loader
except ImportError:
    espeakng_loader = None

SENTENCES = """The birch canoe slid on the smooth planks.
Glue the sheet to the dark blue background.
It is easy to tell the depth of a well.
These days a chicken leg is a rare dish.
Rice is often served in round bowls.
The juice of lemons makes fine punch.
The box was thrown beside the parked truck.
Four hours of steady work faced us.
A large size in stockings is hard to sell.
The boy was there when the sun rose.
A rod is used to catch pink salmon.
The source of the huge river is the clear spring.
Kick the ball straight and follow through.
Help the woman get back to her feet.
A pot of tea helps to pass the evening.
Smoky fires lack flame and heat.
The soft cushion broke the man's fall.
The salt breeze came across from the sea.
The girl at the booth sold fifty bonds.
The small pup gnawed a hole in the sock.
The fish twisted and turned on the bent hook.
Press the pants and sew a button on the vest.
The swan dive was far short of perfect.
The beauty of the view stunned the young boy.""".split("\n")  # Harvard sentences, lists 1 to 3 (IEEE, 1969)
RATE = 16000


def write(file, samples):
    with wave.open(str(file), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def resampled(samples, rate):
    """Resamples in the frequency domain."""
    spectrum, length = np.fft.rfft(samples), round(len(samples) * RATE / rate)
    out = np.zeros(length // 2 + 1, complex)
    count = min(len(spectrum), len(out))
    out[:count] = spectrum[:count]
    return np.fft.irfft(out, length) * length / len(samples)


class Voice:
    """espeak-ng's library (speak_lib.h): AUDIO_OUTPUT_SYNCHRONOUS is 2, espeakRATE is 1, UTF-8 is 1."""

    def __init__(self):
        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate = self.lib.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
        self.parts = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self.keep)
        self.lib.espeak_SetSynthCallback(self.callback)

    def keep(self, samples, count, _):
        if samples and count > 0:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text, voice, speed):
        self.parts = []
        self.lib.espeak_SetVoiceByName(voice.encode())
        self.lib.espeak_SetParameter(1, speed, 0)
        data = text.encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        return resampled(np.concatenate(self.parts) / 32768, self.rate)


def between_pauses(samples, shortest=2.0, pause=0.25):
    """Parts that end in a pause and last at least `shortest` seconds."""
    step = RATE // 50
    loud = [np.sqrt(np.mean(samples[at : at + step] ** 2)) for at in range(0, len(samples), step)]
    limit, parts, start, quiet = 0.15 * np.mean(loud), [], 0, 0
    for index, value in enumerate(loud):
        quiet = quiet + 1 if value < limit else 0
        if quiet * step == int(pause * RATE) // step * step and index * step - start >= shortest * RATE:
            parts.append(samples[start : (index - quiet // 2) * step])
            start = (index - quiet // 2) * step
    return [*parts, samples[start:]]


def write_sentences(folder):
    folder.mkdir(parents=True, exist_ok=True)
    voice = Voice()
    with open(folder / "transcripts.csv", "w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["file", "text"])
        for index, sentence in enumerate(SENTENCES):
            for name, speed in (("en-us", 150), ("en-gb", 165)):
                file = f"{index:02d}-{name}.wav"
                write(folder / file, voice.say(sentence, name, speed))
                rows.writerow([file, sentence])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recording", type=Path)
    options = parser.parse_args()
    if espeakng_loader:
        write_sentences(options.out / "spoken")
    if options.recording:
        with wave.open(str(options.recording)) as w:
            samples = np.frombuffer(w.readframes(w.getnframes()), "<i2").reshape(-1, w.getnchannels())[:, 0] / 32768
            samples = resampled(samples, w.getframerate())
        folder = options.out / "recording"
        folder.mkdir(parents=True, exist_ok=True)
        for index, part in enumerate(between_pauses(samples)):
            write(folder / f"{index:02d}.wav", part)
    print(json.dumps({folder.name: len(list(folder.glob("*.wav"))) for folder in options.out.iterdir()}))


main()
