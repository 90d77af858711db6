/** Schedules of recipes: options of a repeated step whose numbers change from round to round (`{ from, to, curve }`). */
import * as v from "valibot";
import { isObject, optionError } from "#ir";
import type { AnyPass, OptionValues } from "#pass";
import { defaultExport, modulePath, namesAt, numbersAt, option, withHelp } from "#pass";

/** Returns the value between `from` and `to` when a share `t` of the rounds has passed. */
type Curve = (t: number, from: number, to: number) => number;

/** Further digits of powers differ between machines. */
const dropLastDigits = (value: number): number => Number(value.toPrecision(12));

export const curves = {
  linear: (t, from, to) => from + (to - from) * t,
  /** Changes fast at first and slowly at the end (Zhu and Gupta, "To prune, or not to prune", 2017, equation 1). */
  cubic: (t, from, to) => to + (from - to) * (1 - t) ** 3,
  /** Changes by a constant factor per round. */
  exponential: (t, from, to) => (from * to > 0 ? from * (to / from) ** t : Number.NaN),
} satisfies Record<string, Curve>;

const endValue = v.pipe(v.number(), v.finite("expected a finite number"));

const scheduleOptions = {
  from: withHelp(endValue, "start value, before the first round"),
  to: withHelp(endValue, "the value in the last round"),
  curve: option(
    v.union([
      v.picklist(Object.keys(curves) as (keyof typeof curves)[]),
      v.custom<(t: number) => number>((value) => typeof value === "function"),
      modulePath("is linear, cubic, exponential, or the path of a module that exports a function", Object.keys(curves)),
    ]),
    "linear (the default), cubic (fast at first), exponential (by the same factor in each round), or a module whose default export is a function from the share of the rounds to the share of the way",
  ),
};

/** Replaces a number in a recipe: `{ from: 5%, to: 80%, curve: cubic }`. */
export const scheduleSchema = v.strictObject(scheduleOptions);

export interface Round {
  readonly number: number;
  readonly total: number;
}

export type KeyPath = readonly (string | number)[];

export function findSchedules(pass: AnyPass, options: OptionValues): readonly { path: KeyPath; schedule: unknown }[] {
  const schedules: { path: KeyPath; schedule: unknown }[] = [];
  replaceSchedules(pass, options, [], (schedule, path) => schedules.push({ path, schedule }));
  return schedules;
}

/** @param options their schedules must fit `scheduleSchema`. */
export function optionsInRound(pass: AnyPass, options: OptionValues, { number, total }: Round): OptionValues {
  return replaceSchedules(pass, options, [], (schedule, path) => {
    const value = valueInRound(number, total, schedule as OptionSchedule);
    return numbersAt(pass.options, path) === "whole" ? Math.round(value) : value;
  }) as OptionValues;
}

/** Replaces module paths of curves by the functions that the modules export. @throws PithError E_OPTION if a module exports no function. */
export async function openScheduleCurves(pass: AnyPass, options: OptionValues): Promise<OptionValues> {
  const openedSchedules = new Map<unknown, OptionSchedule>();
  for (const { schedule } of findSchedules(pass, options)) {
    const optionSchedule = schedule as OptionSchedule;
    if (typeof optionSchedule.curve !== "string" || optionSchedule.curve in curves) continue;
    const optionText = `${pass.id}: "curve"`;
    const curve = await defaultExport(optionSchedule.curve, optionText);
    if (typeof curve !== "function")
      throw optionError(`${optionText}: ${optionSchedule.curve} has no function as its default export.`, {
        hint: "export default (t) => t ** 2, for example: from 0 to 1, and to 1 at 1.",
      });
    openedSchedules.set(schedule, { ...optionSchedule, curve: (t) => Number(Reflect.apply(curve, undefined, [t])) });
  }
  return openedSchedules.size === 0
    ? options
    : (replaceSchedules(pass, options, [], (schedule) => openedSchedules.get(schedule) ?? schedule) as OptionValues);
}

function replaceSchedules(
  pass: AnyPass,
  value: unknown,
  path: KeyPath,
  replace: (schedule: unknown, path: KeyPath) => unknown,
): unknown {
  if (Array.isArray(value))
    return value.map((inner, index) => replaceSchedules(pass, inner, [...path, index], replace));
  if (!isObject(value)) return value;
  if (isSchedule(pass, value, path)) return replace(value, path);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, replaceSchedules(pass, inner, [...path, name], replace)]),
  );
}

/** Returns whether an object has a key of a schedule that the option at this path does not have itself. */
function isSchedule(pass: AnyPass, value: object, path: KeyPath): boolean {
  if (path.length === 0 || numbersAt(pass.options, path) === undefined) return false;
  const names = namesAt(pass.options, path);
  return Object.keys(scheduleOptions).some((name) => name in value && !names.includes(name));
}

export interface OptionSchedule {
  readonly from: number;
  readonly to: number;
  /** A name ("linear"), a function or a module's path: maps the share of the rounds to the share of the way from `from` to `to` (0 to 1). */
  readonly curve?: string | ((t: number) => number) | undefined;
}

/** @param round 1 to `rounds`. @throws PithError E_OPTION if the curve gives no finite value, or no share from 0 to 1. */
export function valueInRound(round: number, rounds: number, { from, to, curve = "linear" }: OptionSchedule): number {
  const t = round / rounds;
  const curveFunction =
    typeof curve === "string" ? curveOf(curve) : (t: number) => from + (to - from) * shareAt(t, curve);
  const value = curveFunction(t, from, to);
  if (Number.isFinite(value)) return dropLastDigits(value);
  throw optionError(`"${curve}" does not lead from ${from} to ${to}.`, {
    hint: 'Each round multiplies by one factor, so both ends have to be above 0; "linear" and "cubic" lead from anywhere to anywhere.',
  });
}

/** A module path counts as linear until the module is opened. */
const curveOf = (curve: string): Curve => new Map<string, Curve>(Object.entries(curves)).get(curve) ?? curves.linear;

function shareAt(t: number, curve: (t: number) => number): number {
  const share: unknown = curve(t);
  if (typeof share === "number" && share >= 0 && share <= 1) return share;
  throw optionError(`"curve" gives shares from 0 to 1, got ${String(share)} at ${t}.`);
}
