/** Writes WAV files for tests. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Returns a WAV file with 16-bit samples of one channel. */
export function wavBytes(samples: Float32Array, rate = 16_000): Uint8Array {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  for (const [at, text] of [
    [0, "RIFF"],
    [8, "WAVE"],
    [12, "fmt "],
    [36, "data"],
  ] as const)
    bytes.set(new TextEncoder().encode(text), at);
  for (const [at, size] of [
    [4, bytes.length - 8],
    [16, 16],
    [24, rate],
    [28, 2 * rate],
    [40, 2 * samples.length],
  ] as const)
    view.setUint32(at, size, true);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 2],
    [34, 16],
  ] as const)
    view.setUint16(at, value, true);
  for (const [index, value] of samples.entries()) view.setInt16(44 + 2 * index, Math.round(value * 32_767), true);
  return bytes;
}

/** Returns a tone whose pitch and loudness rise. */
export const tone = (seconds: number, pitch: number, rate = 16_000): Float32Array =>
  Float32Array.from({ length: seconds * rate }, (_, at) => {
    const time = at / rate;
    return (0.1 + 0.4 * (time / seconds)) * Math.sin(2 * Math.PI * pitch * time * (1 + time));
  });

/** Writes sounds, and transcripts.csv if there are texts. */
export function writeSounds(folder: string, sounds: readonly Float32Array[], texts?: readonly string[]): void {
  mkdirSync(folder, { recursive: true });
  for (const [index, sound] of sounds.entries()) writeFileSync(join(folder, `${index}.wav`), wavBytes(sound));
  const rows = texts?.map((text, index) => `${index}.wav,${text}\n`);
  if (rows !== undefined) writeFileSync(join(folder, "transcripts.csv"), `file,text\n${rows.join("")}`);
}
