/** What is counted in a training: plain data, which stands in checkpoints. */
import type { Epoch, Evaluated, TrainingSummary } from "./history.ts";
import type { Plan } from "./plan.ts";

export interface Counters {
  epoch: number;
  /** Batches of this epoch that are done. */
  batches: number;
  /** Steps of the training that are done. */
  steps: number;
  /** Of this epoch: its losses added up, its seconds, what was evaluated. */
  sum: number;
  seconds: number;
  evaluations: Evaluated[];
  history: Epoch[];
  best: Evaluated | undefined;
  /** Evaluations since the best. */
  worse: number;
}

export function startCounters(): Counters {
  return { ...startEpoch(1), steps: 0, history: [], best: undefined, worse: 0 };
}

const startEpoch = (epoch: number) => ({ epoch, batches: 0, sum: 0, seconds: 0, evaluations: [] });

/** Puts the epoch that is through into the history, and begins to count the next. */
export function endEpoch(counters: Counters, accumulate: number): Epoch {
  const { epoch, sum, batches, seconds, evaluations } = counters;
  const ended = { epoch, loss: sum / batches, steps: Math.floor(batches / accumulate), seconds, evaluations };
  counters.history.push(ended);
  Object.assign(counters, startEpoch(epoch + 1));
  return ended;
}

/** What the training came to. */
export function summaryOf({ best, history, evaluations }: Counters, plan: Plan): TrainingSummary {
  const { data, validation, average } = plan;
  if (validation === undefined || best === undefined) return { samples: data.count, chosen: undefined, average };
  const count = history.reduce((sum, epoch) => sum + epoch.evaluations.length, evaluations.length);
  const { name = "loss", unit = "" } = validation.metric ?? {};
  return {
    samples: data.count,
    chosen: { samples: validation.data.count, by: name, unit, best, evaluations: count },
    average,
  };
}
