/** What a model is fed with: the columns of a data set, and its states, which begin as zeros. */
import { equalSizes } from "../analysis/equal-sizes.ts";
import { infer } from "../analysis/infer.ts";
import { type Binding, bindInputs } from "../data/bind.ts";
import { rowLength } from "../data/rows.ts";
import { firstBatch } from "../data/select.ts";
import { beginColumn, findStates, initialState, type State } from "../data/states.ts";
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

export interface Feeding extends Binding {
  readonly states: readonly State[];
  /** What the states begin with, by input. */
  readonly zeros: Batch;
}

/**
 * How batches like this one are fed to a model.
 * @throws PithError E_DATA if an input has no column and is no state, or its column does not fit.
 */
export function feedingOf(model: Model, batch: Batch, owner: string): Feeding {
  const states = findStates(model, givenInputs(model, batch));
  const zeros = initialStates(model, states);
  const rest = model.graph.feeds.filter(({ name }) => zeros[name] === undefined);
  const bound = bindInputs(rest, batch, owner);
  if (states.length > 0 && bound.size !== undefined && bound.size !== 1) {
    throw new PithError(
      "E_DATA",
      `The model fixes its batch to ${bound.size} samples and carries states from one run to the next: states need a batch of 1.`,
    );
  }
  return { ...bound, states, zeros };
}

export interface OneRun {
  readonly feeds: Batch;
  readonly size: number;
}

/**
 * The first sample as a model takes it, or as many as the model fixes; its states as they begin.
 * @throws PithError E_DATA if there is none, or an input has no column that fits.
 */
export async function oneRun(model: Model, samples: Dataset): Promise<OneRun> {
  const first = await firstBatch(samples);
  const { size = 1, feeds, zeros } = feedingOf(model, first, samples.name);
  const batch = size === 1 ? first : await firstBatch(samples, size);
  return { feeds: { ...feeds(batch), ...zeros }, size };
}

/** A dimension of a state that only has a name may be decided by the model: the hidden units of a layer. */
function initialStates(model: Model, states: readonly State[]): Batch {
  if (states.length === 0) return {};
  const copy = model.clone();
  const size = equalSizes(copy, infer(copy));
  return Object.fromEntries(
    copy.graph.feeds.flatMap((feed) =>
      states.some(({ input }) => input === feed.name) ? [[feed.name, initialState(feed, size)] as const] : [],
    ),
  );
}

/** The inputs that the data gives: by the names of columns, or the only column to the first input that it can be. */
function givenInputs(model: Model, batch: Batch): readonly string[] {
  const columns = Object.keys(batch).filter((name) => name !== "label" && name !== beginColumn);
  const { feeds } = model.graph;
  if (columns.length !== 1 || feeds.some(({ name }) => columns.includes(name))) return columns;
  const [column = ""] = columns;
  const dense = batch[column];
  const elements = dense === undefined ? 0 : rowLength(dense);
  const fitting = feeds.find(({ type }) => {
    const sizes = type?.dims?.filter((dim) => typeof dim === "number") ?? [];
    return elements % Math.max(1, elementCount(sizes)) === 0;
  });
  return fitting === undefined ? columns : [...columns, fitting.name];
}
