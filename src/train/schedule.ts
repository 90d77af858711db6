/** Learning rate schedules: pure functions of the step (from 0) and the number of steps, so resuming needs no state. */

/** Returns the factor of the learning rate at a step; 1 if the number of steps is unknown. */
export type Schedule = (step: number, total: number) => number;

/** @example const schedule = constantRate(); */
export const constantRate = (): Schedule => () => 1;

export interface StepDecayOptions {
  readonly at?: readonly number[];
  readonly factor?: number;
}

/**
 * Multiplies the rate by a factor at given shares of the training; by default 0.1 at 1/2 and 3/4 (He et al. 2016, CIFAR-10).
 * @example
 * const schedule = stepDecay({ at: [0.3, 0.6, 0.9], factor: 0.2 });
 */
export function stepDecay({ at = [0.5, 0.75], factor = 0.1 }: StepDecayOptions = {}): Schedule {
  return (step, total) => factor ** at.filter((share) => step >= Math.round(share * total)).length;
}

/**
 * Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts).
 * @example
 * const schedule = warmUp(cosineDecay(), 0.05);
 */
export const cosineDecay = (): Schedule => (step, total) => (1 + Math.cos((Math.PI * step) / total)) / 2;

/** A straight line from 1 to 0. @example const schedule = linearDecay(); */
export const linearDecay = (): Schedule => (step, total) => 1 - step / total;

export interface OneCycleOptions {
  readonly rise?: number;
  /** The first rate is 1 / divisor. */
  readonly divisor?: number;
  /** The last rate is the first one divided by this. */
  readonly lastDivisor?: number;
}

/**
 * Rises along half a cosine and falls along another (Smith and Topin 2018), with PyTorch's defaults: a rise over 0.3 of the
 * training from 1/25, and a fall to 1/10,000 of that.
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
 * Rises linearly to 1 over `length` (a share of the training below 1, else steps), then follows the schedule.
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
