/**
 * What a run has done so far, in a folder, so that one that was stopped is continued. Kept are the model and the record behind every step, the
 * checkpoint of a training, and what each model says on the samples. Each stands under the hash of all that it follows from (original, samples,
 * seed, the steps up to it), so that nothing is taken for what it is not.
 */
import { fileKind, joinPath, makeFolder, readFile, writeFileAtomically } from "#platform";
import { sha256Text } from "../data/hash.ts";
import type { Model } from "../graph/model.ts";
import { open, save } from "../onnx/index.ts";
import type { Measured, StepRecord } from "../report/data.ts";
import { lastFile, plainOf, plainText } from "../train/checkpoint.ts";
import type { Rows } from "./holdout.ts";
import type { RecipeStep } from "./recipe.ts";

export interface MeasuredModel {
  readonly facts: Omit<Measured, "estimate" | "name">;
  readonly rows: Rows;
  /** That the samples took. */
  readonly seconds: number;
}

export interface DoneStep {
  readonly record: StepRecord;
  readonly warnings: readonly string[];
}

export interface DoneSteps {
  readonly steps: readonly DoneStep[];
  /** The model behind them; undefined where there are none. */
  readonly model: Model | undefined;
}

interface PlainFound extends Omit<MeasuredModel, "rows"> {
  readonly rows: readonly number[];
  readonly given: readonly number[];
  readonly labels: readonly number[];
}

export class PartialRun {
  readonly #folder: string;
  readonly #run: unknown;

  /**
   * @param folder it is made when there is something to keep.
   * @param run plain data: what all results depend on, but for the steps.
   */
  constructor(folder: string, run: unknown) {
    this.#folder = folder;
    this.#run = run;
  }

  /** The longest part of a recipe, from its beginning, that is done. */
  async steps(steps: readonly RecipeStep[]): Promise<DoneSteps> {
    const done: DoneStep[] = [];
    for (let count = 1; count <= steps.length; count++) {
      const step = await this.#read<DoneStep>(`${await this.#stem(steps.slice(0, count))}.json`);
      if (step === undefined) break;
      done.push(step);
    }
    if (done.length === 0) return { steps: done, model: undefined };
    return { steps: done, model: await open(`${await this.#stem(steps.slice(0, done.length))}.onnx`) };
  }

  /** @param steps the last of them is what was done. */
  async keepStep(steps: readonly RecipeStep[], model: Model, step: DoneStep): Promise<void> {
    await makeFolder(this.#folder);
    const stem = await this.#stem(steps);
    await save(model, `${stem}.onnx`);
    // Last: the record says that the model is there.
    await this.#write(`${stem}.json`, step);
  }

  /** Options of a training that make it keep its checkpoints here, and go on from one that is there. @param steps the last is the training. */
  async checkpoint(steps: readonly RecipeStep[]): Promise<{ readonly checkpoint: string; readonly resume: boolean }> {
    await makeFolder(this.#folder);
    const checkpoint = await this.#stem(steps);
    return { checkpoint, resume: (await fileKind(lastFile(checkpoint))) !== undefined };
  }

  /** @param sha256 of the model's file. */
  async found(sha256: string): Promise<MeasuredModel | undefined> {
    const found = await this.#read<PlainFound>(`${await this.#stem(sha256)}.json`);
    if (found === undefined) return undefined;
    const { facts, seconds, rows, given, labels } = found;
    const said = { given: Float64Array.from(given), labels: Float64Array.from(labels) };
    return { facts, seconds, rows: { rows: Float64Array.from(rows), said } };
  }

  async keepFound({ facts, seconds, rows: { rows, said } }: MeasuredModel): Promise<void> {
    await makeFolder(this.#folder);
    const plain: PlainFound = { facts, seconds, rows: [...rows], given: [...said.given], labels: [...said.labels] };
    await this.#write(`${await this.#stem(facts.sha256)}.json`, plain);
  }

  async #stem(what: unknown): Promise<string> {
    const text = new TextEncoder().encode(JSON.stringify([this.#run, what]));
    return joinPath(this.#folder, await sha256Text([text]));
  }

  async #read<T>(path: string): Promise<T | undefined> {
    if ((await fileKind(path)) !== "file") return undefined;
    return plainOf(new TextDecoder().decode(await readFile(path))) as T | undefined;
  }

  async #write(path: string, plain: unknown): Promise<void> {
    await writeFileAtomically(path, [new TextEncoder().encode(plainText(plain))]);
  }
}
