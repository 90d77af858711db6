/** Records the measurements of models in the store, by the model's digest and the key of samples and metric. No model is measured twice. */
import type { Measured } from "../record/data.ts";
import type { Store } from "../steps/store.ts";
import type { Rows } from "./holdout.ts";

export interface MeasuredModel {
  readonly facts: Omit<Measured, "estimate" | "name">;
  readonly rows: Rows;
  readonly seconds: number;
}

interface FigureRecord extends Omit<MeasuredModel, "rows">, Pick<Rows, "batchNote"> {
  readonly rows: readonly number[];
  readonly given: readonly number[];
  readonly labels: readonly number[];
}

export class FigureRecords {
  readonly store: Store;
  readonly #judgingKey: unknown;

  constructor(store: Store, judging: unknown) {
    this.store = store;
    this.#judgingKey = judging;
  }

  async read(digest: string): Promise<MeasuredModel | undefined> {
    const record = (await this.store.records?.read(this.#key(digest))) as FigureRecord | undefined;
    if (record === undefined) return undefined;
    const { facts, seconds, rows, given, labels, batchNote } = record;
    const answers = { predicted: Float64Array.from(given), labels: Float64Array.from(labels) };
    return { facts, seconds, rows: { rows: Float64Array.from(rows), answers, batchNote } };
  }

  async keep({ facts, seconds, rows: { rows, answers, batchNote } }: MeasuredModel): Promise<void> {
    const [predictions, labels] = [[...answers.predicted], [...answers.labels]];
    const record: FigureRecord = { facts, seconds, rows: [...rows], given: predictions, labels, batchNote };
    await this.store.records?.write(this.#key(facts.sha256), record);
  }

  #key(digest: string): unknown {
    return { model: digest, judging: this.#judgingKey };
  }
}
