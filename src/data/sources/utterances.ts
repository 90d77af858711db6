/** Reads WAV files as utterances: short sounds, each with its transcript if the folder has transcripts. */

import { counted, dataError, truncateList } from "#ir";
import { extensionOf, fileKind, fileNameOf, folderOf, joinPath, listFolder, openFile, readText } from "#platform";
import { openWav, requireRate, type Sound } from "../files/wav.ts";
import { openDataset } from "./open.ts";

export interface Utterance {
  /** Name of the file, with the number of the part if a long sound was divided. */
  readonly name: string;
  readonly samples: Float32Array;
  /** Spoken words; undefined if there are no transcripts. */
  readonly transcript: string | undefined;
}

interface UtteranceOptions {
  /** In Hz. */
  readonly rate: number;
  /** Longer sounds without transcripts are divided at quiet moments. */
  readonly maxSeconds: number;
  readonly count: number;
}

/**
 * Reads the WAV files at a path, in the order of their names. Transcripts are in a table (with the columns "file" and "text") or in a text file next
 * to each sound (`a.wav`, `a.txt`). @throws PithError E_DATA if a sound has another rate, or if only some sounds have a transcript.
 */
export async function readUtterances(
  path: string,
  { rate, maxSeconds, count }: UtteranceOptions,
): Promise<readonly Utterance[]> {
  const folder = isSound(path) ? folderOf(path) : path;
  const isRead = (name: string): boolean => folder === path || [`${stemOf(path)}.txt`, fileNameOf(path)].includes(name);
  const names = (await namesAt(folder)).filter(isRead);
  const sounds = isSound(path) ? [path] : names.filter(isSound).map((name) => joinPath(path, name));
  const transcripts = await readTranscripts(folder, names);
  const usedSounds = sounds.slice(0, count);
  const silent = usedSounds.filter((file) => !transcripts.has(stemOf(file))).map(fileNameOf);
  const hasTranscripts = silent.length < usedSounds.length;
  if (hasTranscripts && silent.length > 0)
    throw dataError(
      `"${path}" has no transcript of ${truncateList(silent)}, and one of ${counted(usedSounds.length - silent.length, "sound")}.`,
      { hint: "Add the missing transcripts, or remove all." },
    );
  const utterances: Utterance[] = [];
  for (const file of usedSounds) {
    const sound = await openWav(await openFile(file));
    requireRate(sound, rate);
    const [name, transcript] = [fileNameOf(file), transcripts.get(stemOf(file))];
    if (transcript !== undefined && sound.length > maxSeconds * rate)
      throw dataError(`${name} is longer than ${maxSeconds} seconds, which the model takes at once.`, {
        hint: "Divide it and its transcript, or remove the transcripts: Pith then divides it.",
      });
    const parts = await divide(sound, maxSeconds * rate);
    for (const [index, samples] of parts.entries())
      utterances.push({ name: parts.length === 1 ? name : `${name} (${index + 1})`, samples, transcript });
  }
  return utterances.slice(0, count);
}

export const hasSounds = async (path: string): Promise<boolean> => isSound(path) || (await namesAt(path)).some(isSound);

async function namesAt(path: string): Promise<readonly string[]> {
  if ((await fileKind(path)) !== "folder") return [];
  return (await listFolder(path)).filter((name) => !name.startsWith(".")).sort();
}

const isSound = (name: string): boolean => extensionOf(name) === ".wav";
const stemOf = (path: string): string => fileNameOf(path).replace(/\.wav$/i, "");

const fileColumns = ["file", "file_name", "filename", "path", "audio", "wav"];
const textColumns = ["text", "transcript", "transcription", "sentence"];

/** Returns the transcripts by the name of the sound without ".wav". */
async function readTranscripts(folder: string, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const transcripts = new Map<string, string>();
  for (const name of names.filter((name) => isSound(name) && names.includes(`${stemOf(name)}.txt`)))
    transcripts.set(stemOf(name), await readText(joinPath(folder, `${stemOf(name)}.txt`)));
  for (const name of names.filter((name) => /\.(csv|tsv|jsonl)$/i.test(name))) {
    const table = await openDataset(joinPath(folder, name));
    for await (const batch of table.batches({ size: 1024 })) {
      const [file, text] = [fileColumns, textColumns].map((columns) => columns.find((column) => column in batch));
      const [files, texts] = [batch[file ?? ""], batch[text ?? ""]];
      if (files?.type !== "string" || texts?.type !== "string") continue;
      for (const [row, path] of files.data.entries()) transcripts.set(stemOf(path), texts.data[row] ?? "");
    }
  }
  return transcripts;
}

/** Length of the moments whose loudness is compared. */
const momentSeconds = 0.02;

/** Divides a sound into parts of at most `length` samples, each at the quietest moment of its last third. */
async function divide(sound: Sound, length: number): Promise<readonly Float32Array[]> {
  const parts: Float32Array[] = [];
  const moment = Math.ceil(momentSeconds * sound.rate);
  for (let start = 0; start < sound.length; ) {
    const samples = await sound.read(start, Math.min(sound.length, start + length));
    let [end, quietest] = [samples.length, Number.POSITIVE_INFINITY];
    if (start + length < sound.length)
      for (let position = Math.floor((2 * length) / 3); position + moment <= length; position += moment) {
        const power = samples.subarray(position, position + moment).reduce((sum, value) => sum + value * value, 0);
        if (power < quietest) [end, quietest] = [position + Math.floor(moment / 2), power];
      }
    parts.push(samples.slice(0, end));
    start += end;
  }
  return parts;
}
