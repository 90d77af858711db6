/**
 * Schedules: the learning rate over a training, as a factor of its greatest value.
 *
 * A schedule is a function of the step (from 0) and the number of steps; nothing runs along, so a training that is continued needs no more
 * than its step.
 */

/** Factor of the learning rate at a step; 1 where the number of steps is not known. */
export type Schedule = (step: number, total: number) => number;

/** @example const schedule = constantRate(); */
export const constantRate = (): Schedule => () => 1;

export interface StepDecayOptions {
  /** Shares of the training at which the rate falls. */
  readonly at?: readonly number[];
  readonly factor?: number;
}

/**
 * Falls by a factor at given shares of the training: to a tenth at a half and at three quarters unless told (He et al. 2016, CIFAR-10).
 * @example
 * const schedule = stepDecay({ at: [0.3, 0.6, 0.9], factor: 0.2 });
 */
export function stepDecay({ at = [0.5, 0.75], factor = 0.1 }: StepDecayOptions = {}): Schedule {
  return (step, total) => factor ** at.filter((share) => step >= Math.round(share * total)).length;
}

/**
 * Half a cosine, from 1 down to 0 (Loshchilov and Hutter 2017, without restarts).
 * @example
 * const schedule = warmUp(cosineDecay(), 0.05);
 */
export const cosineDecay = (): Schedule => (step, total) => (1 + Math.cos((Math.PI * step) / total)) / 2;

/** A straight line from 1 down to 0. @example const schedule = linearDecay(); */
export const linearDecay = (): Schedule => (step, total) => 1 - step / total;

export interface OneCycleOptions {
  /** The share of the training in which the rate rises. */
  readonly rise?: number;
  /** The first rate is 1 / divisor. */
  readonly divisor?: number;
  /** The last rate is the first one divided by this. */
  readonly lastDivisor?: number;
}

/**
 * Up along half a cosine and down along another (Smith and Topin 2018), with PyTorch's defaults: a rise over three tenths from 1/25, and down
 * to 1/10,000 of that.
 * @example
 * const schedule = oneCycle({ rise: 0.2 });
 */
export function oneCycle({ rise = 0.3, divisor = 25, lastDivisor = 1e4 }: OneCycleOptions = {}): Schedule {
  const first = 1 / divisor;
  const between = (from: number, to: number, share: number): number =>
    to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
  return (step, total) => {
    const peak = rise * total - 1;
    const last = total - 1;
    if (step <= peak) return between(first, 1, step / peak);
    return between(1, first / lastDivisor, last === peak ? 1 : (step - peak) / (last - peak));
  };
}

/**
 * A straight line up to 1 over the first steps (a share of the training below 1, else a number of steps); the schedule begins where it ends.
 * @example
 * const schedule = warmUp(cosineDecay(), 500);
 */
export function warmUp(schedule: Schedule, length: number): Schedule {
  return (step, total) => {
    const risen = length < 1 ? Math.round(length * total) : length;
    return step < risen ? (step + 1) / risen : schedule(step - risen, total - risen);
  };
}

export const schedules = {
  constant: constantRate,
  cosine: cosineDecay,
  linear: linearDecay,
  steps: stepDecay,
  "one-cycle": oneCycle,
} as const;
