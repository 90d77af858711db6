/** Learning rate schedules: pure functions of the step (from 0) and the number of steps, so resuming needs no state. */
import * as v from "valibot";
import { nearest, PithError } from "#ir";

export interface ScheduleContext {
  /** Steps of an epoch (1). */
  readonly epoch?: number | undefined;
  /** Warm-up steps before the schedule's first step (0). */
  readonly before?: number | undefined;
}

/** Factor of the learning rate at a step. A training with an unknown number of steps does not call it. */
export type Schedule = (step: number, total: number, context?: ScheduleContext) => number;

const constantRate = (): Schedule => () => 1;

export interface StepDecayOptions {
  readonly at?: readonly number[];
  /** Epochs after which the rate falls, instead of shares. A warm-up counts as part of the epochs. */
  readonly milestones?: readonly number[] | undefined;
  /** Multiplies the rate each time (0.1). */
  readonly factor?: number | undefined;
}

/** Multiplies the learning rate by a factor at given shares of the training, or after given epochs (PyTorch's MultiStepLR). */
export function stepDecay({ at = [0.5, 0.75], milestones, factor = 0.1 }: StepDecayOptions = {}): Schedule {
  return (step, total, { epoch = 1, before = 0 } = {}) =>
    factor **
    (milestones === undefined
      ? at.filter((share) => step >= Math.round(share * total))
      : milestones.filter((milestone) => step + before >= Math.round(milestone * epoch))
    ).length;
}

/** Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts). */
export const cosineDecay = (): Schedule => (step, total) => (1 + Math.cos((Math.PI * step) / total)) / 2;

/** A straight line from 1 to 0. */
export const linearDecay = (): Schedule => (step, total) => 1 - step / total;

/**
 * Rises along half a cosine and falls along another (Smith and Topin 2018), with PyTorch's defaults: a rise over 0.3 of the
 * training from 1/25, and a fall to 1/10,000 of that.
 */
export function oneCycle(): Schedule {
  const [rise, first, lastDivisor] = [0.3, 1 / 25, 1e4];
  const interpolate = (from: number, to: number, share: number): number =>
    to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
  return (step, total) => {
    const peak = rise * total - 1;
    const last = total - 1;
    if (step <= peak) return interpolate(first, 1, step / peak);
    return interpolate(1, first / lastDivisor, last === peak ? 1 : (step - peak) / (last - peak));
  };
}

/** Rises linearly to 1 over the first `length` steps, then runs the schedule. A length below 1 is a share of the training. */
export function warmUp(schedule: Schedule, length: number): Schedule {
  return (step, total, context) => {
    const warmupSteps = length < 1 ? Math.round(length * total) : length;
    if (step < warmupSteps) return (step + 1) / warmupSteps;
    return schedule(step - warmupSteps, total - warmupSteps, { ...context, before: warmupSteps });
  };
}

export const schedules = {
  constant: constantRate,
  cosine: cosineDecay,
  linear: linearDecay,
  steps: stepDecay,
  "one-cycle": oneCycle,
} as const;

const isName = (text: string): text is keyof typeof schedules => Object.hasOwn(schedules, text);

const positive = v.pipe(v.string(), v.toNumber(), v.gtValue(0));
const stepsSchema = v.object({ milestones: v.array(positive), factor: v.optional(positive) });

/**
 * Reads a schedule: a name, or `steps` with the epochs after which the rate falls.
 * @throws PithError E_OPTION if the text is not a schedule.
 */
export function parseSchedule(text: string): Schedule {
  if (isName(text)) return schedules[text]();
  return stepDecay(readSteps(text));
}

/** Returns the epochs of "steps(30, 80)"; an empty list for other schedules. */
export function milestonesOf(text: string): readonly number[] {
  return isName(text) ? [] : readSteps(text).milestones;
}

function readSteps(text: string): v.InferOutput<typeof stepsSchema> {
  const names = Object.keys(schedules);
  const [, name = text, list] = /^([^(]*)\((.*)\)$/.exec(text.trim()) ?? [];
  if (name.trim() !== "steps" || list === undefined) {
    const similarName = nearest(name.trim(), names);
    const hint = similarName === undefined || isName(name.trim()) ? settingsHint : `Did you mean ${similarName}?`;
    throw new PithError("E_OPTION", `expected ${names.join(", ")} or "steps(30, 80)", got "${text}".`, { hint });
  }
  const words = list.split(",").map((word) => word.trim());
  const isFactor = (word: string): boolean => /^factor\s*=/.test(word);
  const milestones = words.filter((word) => !isFactor(word));
  const [factor, ...more] = words.filter(isFactor).map((word) => word.slice(word.indexOf("=") + 1).trim());
  const result = v.safeParse(stepsSchema, { milestones, factor });
  const isRising = milestones.every(
    (milestone, index) => index === 0 || Number(milestone) > Number(milestones[index - 1]),
  );
  if (result.success && milestones.length > 0 && more.length === 0 && isRising) return result.output;
  throw new PithError("E_OPTION", `expected epochs in ascending order and one factor, got "${text}".`, {
    hint: settingsHint,
  });
}

const settingsHint = 'Write the epochs after which the rate falls: "steps(30, 80, factor=0.1)".';
