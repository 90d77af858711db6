/**
 * Resizes images with the results of Pillow (`Image.resize`), and thus of torchvision and transformers. The kernel is a triangle (bilinear), or Keys'
 * cubic with a = −0.5 (bicubic), stretched by the reduction factor (antialiasing). Rows are resized first, then columns, each rounded to 8 bits.
 * Source: Pillow, src/libImaging/Resample.c.
 */

export type Filter = "bilinear" | "bicubic";

interface Kernel {
  readonly support: number;
  weight(distance: number): number;
}

const cubicA = -0.5;

const kernels: Readonly<Record<Filter, Kernel>> = {
  bilinear: { support: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) },
  bicubic: {
    support: 2,
    weight(distance) {
      const x = Math.abs(distance);
      if (x < 1) return ((cubicA + 2) * x - (cubicA + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * cubicA : 0;
    },
  },
};

/** Fraction bits of a weight: 32, minus 8 for the pixel and 2 for sums of weights that are temporarily above 1. */
const precision = 22;
/** One half: the final truncation then rounds to nearest. */
const roundingOffset = 1 << (precision - 1);

/** Weights of input pixels for each output pixel along one axis. */
interface Taps {
  /** For each output pixel, the first input pixel with a weight. */
  readonly start: Int32Array;
  /** For each output pixel, the number of input pixels with a weight. */
  readonly count: Int32Array;
  /** Weights of output pixel i start at index i · `size`. */
  readonly weights: Int32Array;
  readonly size: number;
}

function computeTaps(inputSize: number, outputSize: number, { support, weight }: Kernel): Taps {
  const scale = inputSize / outputSize;
  const stretch = Math.max(1, scale);
  const radius = support * stretch;
  const size = Math.ceil(radius) * 2 + 1;
  const [start, count] = [new Int32Array(outputSize), new Int32Array(outputSize)];
  const weights = new Int32Array(outputSize * size);
  for (let out = 0; out < outputSize; out++) {
    const center = (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - radius + 0.5));
    const last = Math.min(inputSize, Math.trunc(center + radius + 0.5));
    const values = Array.from({ length: last - first }, (_, index) =>
      weight((index + first - center + 0.5) * (1 / stretch)),
    );
    const sum = values.reduce((total, value) => total + value, 0);
    values.forEach((value, index) => {
      const share = (sum === 0 ? value : value / sum) * 2 ** precision;
      weights[out * size + index] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    start[out] = first;
    count[out] = last - first;
  }
  return { start, count, weights, size };
}

/** Resamples rows or columns. A step is the stride between pixels of a line, a pitch that between lines. */
function resampleLines(
  source: Uint8Array,
  target: Uint8Array,
  { start, count, weights, size }: Taps,
  layout: { readonly lines: number; readonly channels: number; readonly outputCount: number } & Record<
    "sourceStep" | "sourcePitch" | "targetStep" | "targetPitch",
    number
  >,
): void {
  const { lines, channels, outputCount, sourceStep, sourcePitch, targetStep, targetPitch } = layout;
  for (let line = 0; line < lines; line++) {
    for (let out = 0; out < outputCount; out++) {
      const first = line * sourcePitch + (start[out] ?? 0) * sourceStep;
      const tapCount = count[out] ?? 0;
      const firstWeight = out * size;
      const targetIndex = line * targetPitch + out * targetStep;
      // One loop for three channels is twice as fast as three loops.
      if (channels === 3) {
        let [red, green, blue] = [roundingOffset, roundingOffset, roundingOffset];
        for (let tap = 0, from = first; tap < tapCount; tap++, from += sourceStep) {
          const weight = weights[firstWeight + tap] ?? 0;
          red = (red + Math.imul(source[from] ?? 0, weight)) | 0;
          green = (green + Math.imul(source[from + 1] ?? 0, weight)) | 0;
          blue = (blue + Math.imul(source[from + 2] ?? 0, weight)) | 0;
        }
        target[targetIndex] = toByte(red);
        target[targetIndex + 1] = toByte(green);
        target[targetIndex + 2] = toByte(blue);
        continue;
      }
      for (let channel = 0; channel < channels; channel++) {
        let sum = roundingOffset;
        for (let tap = 0, from = first + channel; tap < tapCount; tap++, from += sourceStep) {
          sum = (sum + Math.imul(source[from] ?? 0, weights[firstWeight + tap] ?? 0)) | 0;
        }
        target[targetIndex + channel] = toByte(sum);
      }
    }
  }
}

function toByte(sum: number): number {
  const value = sum >> precision;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

export function resample(
  data: Uint8Array,
  sourceSize: { readonly width: number; readonly height: number },
  targetSize: { readonly width: number; readonly height: number },
  filter: Filter = "bilinear",
  channels = 3,
): Uint8Array {
  const kernel = kernels[filter];
  let rows = data;
  if (sourceSize.width !== targetSize.width) {
    rows = new Uint8Array(sourceSize.height * targetSize.width * channels);
    resampleLines(data, rows, computeTaps(sourceSize.width, targetSize.width, kernel), {
      lines: sourceSize.height,
      channels,
      outputCount: targetSize.width,
      sourceStep: channels,
      sourcePitch: sourceSize.width * channels,
      targetStep: channels,
      targetPitch: targetSize.width * channels,
    });
  }
  if (sourceSize.height === targetSize.height) return rows;
  const result = new Uint8Array(targetSize.height * targetSize.width * channels);
  resampleLines(rows, result, computeTaps(sourceSize.height, targetSize.height, kernel), {
    lines: targetSize.width,
    channels,
    outputCount: targetSize.height,
    sourceStep: targetSize.width * channels,
    sourcePitch: channels,
    targetStep: targetSize.width * channels,
    targetPitch: channels,
  });
  return result;
}
