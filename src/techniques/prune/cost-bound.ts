/** Finds the amount to prune for a cost bound: multiply-accumulates, bytes of the file, or time on this machine. */
import { macsPerSample, type Removal, removeChannels } from "#analysis";
import type { Dataset } from "#batches";
import { encodedSize, formatReason, Miss, type Model, snapshot, throwIfAborted, unsupportedError } from "#ir";
import type { Context } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { relativeTimer, shareOfTime } from "../../runtime/run/relative-time.ts";

export interface CostBound {
  readonly kind: keyof typeof kinds;
  /** By kind: the share of multiply-accumulates to keep, the maximum file size in bytes, or the factor of speed. */
  readonly value: number;
}

/** Bisection steps for costs that are counted, and for times, whose measurements are less accurate. */
const [halvings, timedHalvings] = [12, 6];

export interface FoundAmount {
  readonly amount: number;
  /** The cost, as a share of the bound. */
  readonly cost: number;
  readonly text: string;
}

/** Finds the smallest amount that meets a cost bound. @param removals the choices at an amount from 0 to 1. @param data its first sample is timed. */
export async function amountFor(
  bound: CostBound,
  model: Model,
  removals: (amount: number) => readonly Removal[],
  context: Context,
  data?: Dataset | string,
): Promise<FoundAmount | Miss> {
  const { meter: open, ...kind } = kinds[bound.kind];
  const meter = await open(bound.value, model, context, data);
  try {
    return await findSmallestAmount({ ...kind, ...meter, name: bound.kind }, model, removals, context);
  } finally {
    await meter.release?.();
  }
}

async function findSmallestAmount(
  { name, quantity, bound, steps, measure }: Meter & Omit<Kind, "meter"> & { readonly name: string },
  model: Model,
  removals: (amount: number) => readonly Removal[],
  context: Context,
): Promise<FoundAmount | Miss> {
  const measureAt = async (amount: number): Promise<number> => {
    throwIfAborted(context.signal);
    const restore = snapshot(model);
    try {
      const failure = await removeChannels(model, removals(amount));
      if (failure instanceof Miss) throw unsupportedError(`prune: ${formatReason(failure)}`);
      return await measure();
    } finally {
      restore();
    }
  };
  let [low, high, cost] = [0, 1, await measureAt(1)];
  if (!(cost <= bound))
    return new Miss(
      `\`${name}\` cannot be reached: ${percent(cost)} of ${quantity} are left if all removable channels are removed, expected ${percent(bound)}`,
    );
  for (let step = 1; step <= steps; step++) {
    const middle = (low + high) / 2;
    const middleCost = await measureAt(middle);
    context.progress(step, steps);
    if (middleCost <= bound) [high, cost] = [middle, middleCost];
    else low = middle;
  }
  return {
    amount: high,
    cost: cost / bound,
    text: `the amount ${percent(high)} leaves ${percent(cost)} of ${quantity} (target: ${percent(bound)})`,
  };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

interface Meter {
  /** The maximum cost, as a share of the original cost. */
  readonly bound: number;
  /** The cost of the model now, as a share of the original cost. */
  measure(): Promise<number>;
  release?(): Promise<void>;
}

interface Kind {
  readonly quantity: string;
  readonly steps: number;
  meter(value: number, model: Model, context: Context, data?: Dataset | string): Promise<Meter>;
}

/** Defines a cost that is counted. @param shareOf converts the value of the bound into a share of the original cost. */
const defineCount =
  (count: (model: Model) => number | Promise<number>, shareOf = (value: number, _original: number) => value) =>
  async (value: number, model: Model): Promise<Meter> => {
    const original = await count(model);
    return { bound: shareOf(value, original), measure: async () => (await count(model)) / original };
  };

const kinds = {
  macs: { quantity: "the multiply-accumulates", steps: halvings, meter: defineCount(macsOf) },
  targetSize: {
    quantity: "the bytes",
    steps: halvings,
    meter: defineCount(encodedSize, (bytes, original) => bytes / original),
  },
  faster: {
    quantity: "the processor time",
    steps: timedHalvings,
    async meter(times, model, context, data) {
      const timer = await relativeTimer(model, context, data === undefined ? undefined : await trainPart(data));
      return {
        bound: 1 / times,
        measure: async () => shareOfTime(await timer.timePair(model)),
        release: () => timer.release(),
      };
    },
  },
} satisfies Record<string, Kind>;

function macsOf(model: Model): number {
  const macs = macsPerSample(model);
  if (!(macs instanceof Miss)) return macs;
  throw unsupportedError(`prune: "macs": the multiply-accumulates cannot be counted: ${macs.reason}.`, {
    hint: "Use `targetSize` or an amount instead.",
  });
}
