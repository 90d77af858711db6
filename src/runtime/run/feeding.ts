/** Provides the inputs of a model: columns of a data set, and recurrent states, which are zeros at first. */
import { createDimRewrite, hasBatchAxis, infer } from "#analysis";
import type { Binding, Dataset, State } from "#batches";
import {
  beginColumn,
  bindInputs,
  findStates,
  firstBatch,
  gatherRows,
  initialState,
  mapColumns,
  nextState,
  rowCount,
  rowLength,
  sampleCount,
  sliceBatch,
} from "#batches";
import { type Batch, dataError, elementCount, type Model } from "#ir";

export interface Feeding extends Binding {
  /** Number of samples per run; undefined if any number works. */
  readonly size: number | undefined;
  readonly states: readonly State[];
  readonly zeros: Batch;
}

/** @throws PithError E_DATA if an input has neither a fitting column nor a state. */
export function feedingOf(model: Model, batch: Batch, owner: string): Feeding {
  const states = findStates(model, providedInputs(model, batch));
  const zeros = initialStates(model, states);
  const rest = model.graph.feeds.filter(({ name }) => zeros[name] === undefined);
  const bound = bindInputs(rest, batch, owner);
  if (states.length > 0 && bound.size !== undefined && bound.size !== 1) {
    throw dataError(
      `The model fixes its batch to ${bound.size} samples and carries states from one run to the next: states need a batch of 1.`,
    );
  }
  const size = bound.size ?? (states.length > 0 || hasBatchAxis(model) ? undefined : 1);
  return { ...bound, size, states, zeros };
}

export class Feeder {
  readonly feeding: Feeding;
  readonly size: number | undefined;
  readonly #owner: string;
  #states: Batch;

  /** @param other a model with the same inputs, whose fixed batch size also applies. @throws as `feedingOf`. */
  constructor(model: Model, batch: Batch, owner: string, other = model) {
    // Uses the unchanged model: an observed value that became an output is not a state.
    this.feeding = feedingOf(model, batch, owner);
    const { size, states, zeros } = this.feeding;
    this.size = states.length > 0 ? 1 : (size ?? (other === model ? undefined : feedingOf(other, batch, owner).size));
    this.#states = zeros;
    this.#owner = owner;
  }

  /** Splits a batch into runs. For a model with states, pass each run's outputs to `carry` before the next run. */
  *runs(batch: Batch): Generator<{ readonly feeds: Batch; readonly samples: number }, void, undefined> {
    const { feeds, states, zeros } = this.feeding;
    const { size } = this;
    if (size === undefined) {
      yield { feeds: feeds(batch), samples: rowCount(batch) };
      return;
    }
    const count = sampleCount(batch, this.#owner);
    for (let start = 0; start < count; start += size) {
      const samples = Math.min(size, count - start);
      const rows = paddedSlice(batch, start, samples, size);
      if (states.length > 0 && startsSequence(rows)) this.#states = zeros;
      yield { feeds: { ...feeds(rows), ...this.#states }, samples };
    }
  }

  carry(outputs: Batch): void {
    const { states } = this.feeding;
    this.#states = Object.fromEntries(
      states.map((state) => [state.input, nextState(outputs, state, this.#states[state.input] ?? throwMissing(state))]),
    );
  }
}

/** Returns `count` samples from `start`, padded to `size` by repeating the last one. */
function paddedSlice(batch: Batch, start: number, count: number, size: number): Batch {
  if (count === size) return sliceBatch(batch, start, start + size);
  const positions = Uint32Array.from({ length: size }, (_, index) => start + Math.min(index, count - 1));
  return mapColumns(batch, (dense) => gatherRows(dense, positions));
}

function startsSequence(sample: Batch): boolean {
  const mark = sample[beginColumn];
  return mark?.type === "bool" && mark.data[0] === 1;
}

function throwMissing({ input }: State): never {
  throw dataError(`The state "${input}" has no initial value.`);
}

export interface OneRun {
  readonly feeds: Batch;
  readonly size: number;
}

/** Returns the first sample, or the model's fixed number, with initial states. */
export async function readOneRun(model: Model, samples: Dataset): Promise<OneRun> {
  const first = await firstBatch(samples);
  const { size = 1, feeds, zeros } = feedingOf(model, first, samples.name);
  const batch = size === 1 ? first : await firstBatch(samples, size);
  return { feeds: { ...feeds(batch), ...zeros }, size };
}

/** Returns the initial values of states. */
function initialStates(model: Model, states: readonly State[]): Batch {
  if (states.length === 0) return {};
  const copy = model.clone();
  const size = createDimRewrite(copy, infer(copy));
  return Object.fromEntries(
    copy.graph.feeds.flatMap((feed) =>
      states.some(({ input }) => input === feed.name) ? [[feed.name, initialState(feed, size)] as const] : [],
    ),
  );
}

/** Returns the names of the columns. A single column can feed the first input that it fits. */
function providedInputs(model: Model, batch: Batch): readonly string[] {
  const columns = Object.keys(batch).filter((name) => name !== "label" && name !== beginColumn);
  const { feeds } = model.graph;
  if (columns.length !== 1 || feeds.some(({ name }) => columns.includes(name))) return columns;
  const [column = ""] = columns;
  const dense = batch[column];
  const elements = dense === undefined ? 0 : rowLength(dense);
  const firstFitting = feeds.find(({ type }) => {
    const sizes = type?.dims?.filter((dim) => typeof dim === "number") ?? [];
    return elements % Math.max(1, elementCount(sizes)) === 0;
  });
  return firstFitting === undefined ? columns : [...columns, firstFitting.name];
}
