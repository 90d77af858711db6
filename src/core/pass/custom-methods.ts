/** Custom methods of the user: criteria, patterns, solvers, rounding methods. Their exceptions are reported as errors of the option. */
import { failureOfCode, PithError } from "../errors.ts";

export type Does = string | readonly string[];

/** Returns whether a value is a method `{ id, [does] }`, with a valid statistic if it has `evidence`. */
export function isMethod(value: unknown, does: Does): boolean {
  const evidence = memberOf(value, "evidence");
  const hasValidStatistic = evidence === undefined || typeof memberOf(evidence, "begin") === "function";
  const hasFunction = [does].flat().some((name) => typeof memberOf(value, name) === "function");
  return hasValidStatistic && hasFunction && typeof memberOf(value, "id") === "string";
}

export function memberOf(value: unknown, name: string): unknown {
  try {
    return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  } catch {
    return undefined;
  }
}

export const areMatrices = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof memberOf(memberOf(item, "data"), "length") === "number");

/**
 * Returns the result of a synchronous method.
 * @param whose The name of the method in errors: `The pattern "comb"`.
 * @throws PithError E_OPTION if it throws or returns a promise.
 */
export function answerOf<T>(whose: string, method: () => T): T {
  let answer: T;
  try {
    answer = method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
  if (!(answer instanceof Promise)) return answer;
  answer.catch(() => {});
  throw new PithError("E_OPTION", `${whose} returned a promise, but must return the result directly.`, {
    hint: "Remove `async` from the function.",
  });
}

/** Returns the result of a method. @throws PithError E_OPTION if it throws. */
export async function awaitedAnswerOf<T>(whose: string, method: () => T | Promise<T>): Promise<T> {
  try {
    return await method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
}

interface Collecting {
  begin(...settings: never[]): { add(...samples: never[]): unknown; end(): unknown };
}

/**
 * Wraps a method's statistic so that its errors are reported as the method's.
 * @param answered `awaitedAnswerOf` if its results can be promises.
 */
export function statisticOf<S extends Collecting>(
  whose: string,
  statistic: S,
  answered: typeof answerOf | typeof awaitedAnswerOf = awaitedAnswerOf,
): S {
  const begin: Collecting["begin"] = (...settings) => {
    const running = answerOf(whose, () => statistic.begin(...settings));
    return {
      add: (...samples) => answered(whose, () => running.add(...samples)),
      end: () => answerOf(whose, () => running.end()),
    };
  };
  return Object.assign(Object.create(statistic), { begin });
}
