/**
 * Splits sound into frames for streaming models: `context` previous values and `frame` new ones. Frames of a file are in order, because models carry
 * states from frame to frame. The last frame is padded with silence.
 */

import { type Dataset, requireBatchSize } from "#batches";
import { type Batch, dataError, random } from "#ir";
import { requireRate, type Sound } from "./wav.ts";

export interface FrameOptions {
  /** Number of new values per frame. */
  readonly frame: number;
  /** Number of previous values that each frame repeats; 0 by default. */
  readonly context?: number;
  /** Required sample rate in Hz. */
  readonly rate?: number;
}

/**
 * Returns the frames of sounds as "audio" (float32 [N, context + frame]), "begin" (bool [N], the first frame of a file) and "rate" (int64 [N]).
 * Shuffling changes the order of files, but not of frames.
 * @throws PithError E_DATA if a sound has another rate, because Pith does not resample.
 */
export function frames(name: string, sounds: readonly Sound[], options: FrameOptions): Dataset {
  const { frame, context = 0, rate } = options;
  if (rate !== undefined) for (const sound of sounds) requireRate(sound, rate);
  const framesOf = (sound: Sound): number => Math.ceil(sound.length / frame);
  const count = sounds.reduce((sum, sound) => sum + framesOf(sound), 0);
  if (count === 0) throw dataError(`${name} holds no sound.`);
  return {
    name,
    count,
    async *batches({ size, shuffle, dropLast }) {
      requireBatchSize(size, name);
      const order = shuffle === undefined ? sounds.keys() : random(shuffle, "shuffle").permutation(sounds.length);
      let rows: Row[] = [];
      for (const index of order) {
        const sound = sounds[index];
        if (sound === undefined) continue;
        for (let index = 0; index < framesOf(sound); index++) {
          rows.push({ values: await readFrame(sound, index, frame, context), begin: index === 0, rate: sound.rate });
          if (rows.length < size) continue;
          yield batchOf(rows, context + frame);
          rows = [];
        }
      }
      if (rows.length > 0 && dropLast !== true) yield batchOf(rows, context + frame);
    },
  };
}

interface Row {
  readonly values: Float32Array;
  readonly begin: boolean;
  readonly rate: number;
}

async function readFrame(sound: Sound, index: number, frame: number, context: number): Promise<Float32Array> {
  const values = new Float32Array(context + frame);
  const start = index * frame - context;
  const firstValue = Math.max(0, start);
  values.set(await sound.read(firstValue, Math.min(sound.length, start + context + frame)), firstValue - start);
  return values;
}

function batchOf(rows: readonly Row[], width: number): Batch {
  const count = rows.length;
  const audio = new Float32Array(count * width);
  rows.forEach(({ values }, row) => {
    audio.set(values, row * width);
  });
  return {
    audio: { type: "float32", dims: [count, width], data: audio },
    begin: { type: "bool", dims: [count], data: Uint8Array.from(rows, ({ begin }) => Number(begin)) },
    rate: { type: "int64", dims: [count], data: BigInt64Array.from(rows, (row) => BigInt(row.rate)) },
  };
}
