/** Tests the reading of WAV files as utterances, with their transcripts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readUtterances } from "../../src/data/sources/utterances.ts";
import { tone, wavBytes, writeSounds } from "../sounds.ts";
import { temporaryFolder } from "../temporary.ts";

const options = { rate: 16_000, maxSeconds: 2, count: 10 };
const sounds = [tone(0.5, 200), tone(1, 300)];

test("reads the sounds of a folder in order, with the transcripts of a table or of text files", async () => {
  const folder = temporaryFolder();
  writeSounds(folder, sounds);
  const read = async () =>
    (await readUtterances(folder, options)).map(({ name, samples, transcript }) => [name, samples.length, transcript]);
  expect(await read()).toEqual([
    ["0.wav", 8000, undefined],
    ["1.wav", 16_000, undefined],
  ]);
  writeSounds(folder, sounds, ["one word", "another"]);
  expect(await read()).toEqual([
    ["0.wav", 8000, "one word"],
    ["1.wav", 16_000, "another"],
  ]);
  const other = temporaryFolder();
  writeSounds(other, sounds);
  writeFileSync(join(other, "0.txt"), "a");
  await expect(readUtterances(other, options)).rejects.toThrow(/has no transcript of 1\.wav, and one of 1 sound/);
  writeFileSync(join(other, "1.txt"), "b\n");
  expect((await readUtterances(other, options)).map(({ transcript }) => transcript)).toEqual(["a", "b\n"]);
  expect(await readUtterances(join(other, "1.wav"), options)).toMatchObject([{ name: "1.wav", transcript: "b\n" }]);
  await expect(readUtterances(join(other, "2.wav"), options)).rejects.toMatchObject({ code: "E_FILE" });
});

test("divides a long sound at its pause, and rejects one that has a transcript", async () => {
  const folder = temporaryFolder();
  const long = new Float32Array(16_000 * 3).fill(0.5).fill(0, 16_000 * 1.6, 16_000 * 1.7);
  writeSounds(folder, [long]);
  const parts = await readUtterances(folder, options);
  expect(parts.map(({ name }) => name)).toEqual(["0.wav (1)", "0.wav (2)"]);
  const [first = 0, second = 0] = parts.map(({ samples }) => samples.length);
  expect(first + second).toBe(long.length);
  expect(first / 16_000).toBeGreaterThan(1.6);
  expect(first / 16_000).toBeLessThan(1.7);
  writeSounds(folder, [long], ["words"]);
  await expect(readUtterances(folder, options)).rejects.toThrow("0.wav is longer than 2 seconds");
});

test("rejects a sound with another sample rate, and finds none in a folder of other files", async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "a.txt"), "text");
  expect(await readUtterances(folder, options)).toEqual([]);
  writeFileSync(join(folder, "a.wav"), wavBytes(tone(0.1, 200), 8000));
  await expect(readUtterances(folder, options)).rejects.toThrow("the model takes 16000 Hz");
});
