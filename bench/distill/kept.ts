/** Long trainings: a folder keeps finished models, and an interrupted training resumes from its checkpoint. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Model, open, save } from "pith";
import { createEngine } from "pith/engine";
import type { Loss } from "pith/train";
import { train } from "pith/train";
import { line } from "../lib/print.ts";

export interface Settings {
  /** Folder for the models of finished parts. */
  readonly folder: string;
  readonly threads: number;
  /** Whether to use few samples and epochs, only to check that the experiment runs. */
  readonly smoke: boolean;
  /** Number of seeds; undefined: the default of each experiment. */
  readonly seeds: number | undefined;
}

export function seedsOf({ smoke, seeds }: Settings, usual = 3): readonly number[] {
  return Array.from({ length: seeds ?? (smoke ? 2 : usual) }, (_, at) => at + 1);
}

/** Options of `train` that differ from model to model. */
export type Training = Omit<Parameters<typeof train>[1], "loss" | "threads" | "checkpoint" | "resume"> & {
  readonly loss?: string | Loss;
};

export interface Part {
  /** Base name of the part's files. */
  readonly name: string;
  readonly seed: number;
  /** Builds a new model. Not called if the part is finished. */
  build(): Model | Promise<Model>;
  readonly training: Training;
}

interface Finished {
  readonly settings: string;
  readonly minutes: number;
  readonly loss: number;
}

export const engine = createEngine();

/** Returns the trained model of a part: the kept model if it has the same settings, else a newly trained one. */
export async function trained({ folder, threads, smoke }: Settings, part: Part): Promise<Model> {
  const { name, seed, training } = part;
  const files = join(folder, smoke ? "smoke" : "parts");
  const settings = settingsText(training, seed);
  const [file, record] = [join(files, `${name}.onnx`), join(files, `${name}.json`)];
  if (existsSync(file) && existsSync(record)) {
    const kept = JSON.parse(readFileSync(record, "utf8")) as Finished;
    if (kept.settings === settings) {
      line(`  ${name}: ${finishedText(kept)}, kept`);
      return open(file);
    }
  }
  mkdirSync(files, { recursive: true });
  const model = await part.build();
  // The name contains a hash of the settings, so that a checkpoint with other settings is not resumed.
  const checkpoint = join(files, `${name}-${createHash("sha256").update(settings).digest("hex").slice(0, 8)}`);
  const resume = existsSync(join(checkpoint, "last.onnx"));
  const { history } = await train(model, { ...training, threads, checkpoint, resume }, { engine, seed, open });
  await save(model, file);
  const seconds = history.reduce((sum, epoch) => sum + epoch.seconds, 0);
  const finished = { settings, minutes: seconds / 60, loss: history.at(-1)?.loss ?? Number.NaN };
  writeFileSync(record, JSON.stringify(finished));
  line(`  ${name}: ${finishedText(finished)}`);
  return open(file);
}

function finishedText({ settings, minutes, loss }: Finished): string {
  return `${settings}; training loss ${loss.toFixed(4)}, ${minutes.toFixed(1)} minutes`;
}

function settingsText({ data, loss, validation, ...rest }: Training, seed: number): string {
  const samples = typeof data === "string" ? data : `${data.count} samples`;
  const named = typeof loss === "object" ? { loss: loss.name, ...loss.settings } : { loss };
  const entries = Object.entries({ ...rest, ...named, match: undefined, teacher: undefined }).filter(
    ([, value]) => value !== undefined,
  );
  return [samples, ...entries.map(([key, value]) => `${key} ${String(value)}`), `seed ${seed}`].join(", ");
}
