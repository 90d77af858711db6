/**
 * Reads WAV files (RIFF). Channels are averaged, and integers are scaled to −1 … 1. Source: Microsoft, Multimedia Programming Interface and Data
 * Specifications 1.0; WAVE_FORMAT_EXTENSIBLE.
 */

import { type ByteSource, dataError, viewOf } from "#ir";

export interface Sound {
  readonly name: string;
  /** In Hz. */
  readonly rate: number;
  /** Samples per channel. */
  readonly length: number;
  /** Returns samples from `start` to `end` (exclusive), averaged over channels. */
  read(start: number, end: number): Promise<Float32Array>;
}

/** @throws PithError E_DATA if a sound has another rate, because Pith does not resample. */
export function requireRate({ name, rate }: Sound, expectedRate: number): void {
  if (rate === expectedRate) return;
  throw dataError(`${name} has a sample rate of ${rate} Hz: the model takes ${expectedRate} Hz.`, {
    hint: `Resample it: ffmpeg -i in.wav -ar ${expectedRate} -ac 1 out.wav`,
  });
}

const pcm = 1;
const float = 3;
const extensible = 0xfffe;
/** Maximum number of chunks up to and with the sample data. */
const maxChunks = 64;
/** Maximum bytes of the format chunk that are read: the length of the extended format. */
const maxFormatBytes = 40;

/** @throws PithError E_DATA if the file is not a WAV file, is truncated, or has an unsupported format. */
export async function openWav(source: ByteSource): Promise<Sound> {
  const { name, size } = source;
  const riffHeader = viewOf(await source.read(0, Math.min(12, size)));
  if (riffHeader.byteLength < 12 || textAt(riffHeader, 0) !== "RIFF" || textAt(riffHeader, 8) !== "WAVE") {
    throw dataError(`${name} is not a WAV file.`, { hint: "Convert other formats: ffmpeg -i sound.mp3 sound.wav" });
  }
  let format: Format | undefined;
  let chunkStart = 12;
  for (let chunk = 0; chunk < maxChunks && chunkStart + 8 <= size; chunk++) {
    const header = viewOf(await source.read(chunkStart, chunkStart + 8));
    const [id, length] = [textAt(header, 0), header.getUint32(4, true)];
    const start = chunkStart + 8;
    if (id === "fmt ")
      format = readFormat(
        viewOf(await source.read(start, Math.min(size, start + Math.min(length, maxFormatBytes)))),
        name,
      );
    if (id === "data") {
      if (format === undefined) throw dataError(`${name}: its data chunk comes before its fmt chunk.`);
      // Writers of streams leave 0 or the maximum if the length is unknown.
      const isUnknownLength = length === 0 || length === 0xffffffff;
      if (!isUnknownLength && start + length > size) {
        throw dataError(
          `${name} is truncated: its header declares ${length} bytes of samples, the file has ${size - start}.`,
        );
      }
      return soundAt(source, format, start, isUnknownLength ? size - start : length);
    }
    // Chunks are padded to an even length.
    chunkStart = start + length + (length % 2);
  }
  throw dataError(`${name} has no samples.`);
}

interface Format {
  readonly kind: "unsigned" | "signed" | "float";
  readonly channels: number;
  readonly rate: number;
  readonly width: number;
}

function readFormat(view: DataView, name: string): Format {
  if (view.byteLength < 16) throw dataError(`${name} is truncated: its fmt chunk is incomplete.`);
  const tag = view.getUint16(0, true);
  const channels = view.getUint16(2, true);
  const rate = view.getUint32(4, true);
  const bits = view.getUint16(14, true);
  // The extended format's GUID starts with the format tag.
  const kind = tag === extensible && view.byteLength >= 26 ? view.getUint16(24, true) : tag;
  const isSupported =
    (kind === pcm && [8, 16, 24, 32].includes(bits)) || (kind === float && (bits === 32 || bits === 64));
  if (!isSupported || channels === 0 || rate === 0) {
    const form = isSupported ? `${channels} channels at ${rate} Hz` : `${bits} bits in format ${kind}`;
    throw dataError(`${name}: samples of ${form} are not supported.`, {
      hint: "ffmpeg -i in.wav -c:a pcm_s16le out.wav writes 16 bits.",
    });
  }
  return { kind: kind === float ? "float" : bits === 8 ? "unsigned" : "signed", channels, rate, width: bits / 8 };
}

function soundAt(source: ByteSource, format: Format, start: number, bytes: number): Sound {
  const { channels, width, rate } = format;
  const sampleBytes = channels * width;
  const value = sampleReader(format);
  return {
    name: source.name,
    rate,
    length: Math.floor(bytes / sampleBytes),
    async read(firstSample, endSample) {
      const view = viewOf(await source.read(start + firstSample * sampleBytes, start + endSample * sampleBytes));
      return Float32Array.from({ length: endSample - firstSample }, (_, sample) => {
        let sum = 0;
        for (let channel = 0; channel < channels; channel++) sum += value(view, sample * sampleBytes + channel * width);
        return sum / channels;
      });
    },
  };
}

function sampleReader({ kind, width }: Format): (view: DataView, offset: number) => number {
  if (kind === "float")
    return width === 4
      ? (view, offset) => view.getFloat32(offset, true)
      : (view, offset) => view.getFloat64(offset, true);
  if (kind === "unsigned") return (view, offset) => (view.getUint8(offset) - 128) / 128;
  if (width === 2) return (view, offset) => view.getInt16(offset, true) / 2 ** 15;
  if (width === 3)
    return (view, offset) => (view.getInt8(offset + 2) * 2 ** 16 + view.getUint16(offset, true)) / 2 ** 23;
  return (view, offset) => view.getInt32(offset, true) / 2 ** 31;
}

function textAt(view: DataView, offset: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((index) => view.getUint8(offset + index)));
}
