/** Methods of a caller's own (criteria, patterns, solvers, rounders): what one of them throws is no fault of Pith. */
import { failureOfCode, PithError } from "../errors.ts";

/** What a method does: it has a function of that name, or of one of them. */
export type Does = string | readonly string[];

/** Whether something is a method `{ id, [does] }`, with a statistic where it asks for evidence. */
export function isMethod(value: unknown, does: Does): boolean {
  const evidence = memberOf(value, "evidence");
  const asks = evidence === undefined || typeof memberOf(evidence, "begin") === "function";
  const isOne = [does].flat().some((name) => typeof memberOf(value, name) === "function");
  return asks && isOne && typeof memberOf(value, "id") === "string";
}

/** A member of something that a user gave; undefined if it cannot be read. */
export function memberOf(value: unknown, name: string): unknown {
  try {
    return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a method gave matrices, of whatever sizes. */
export const areMatrices = (given: unknown): boolean =>
  Array.isArray(given) && given.every((one) => typeof memberOf(memberOf(one, "data"), "length") === "number");

/**
 * What a method answers at once.
 * @param whose how it is called in the error: `The pattern "comb"`.
 * @throws PithError E_OPTION where it throws, or gives a promise.
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

/** What a method answers, at once or later. @throws PithError E_OPTION where it throws. */
export async function awaitedAnswerOf<T>(whose: string, method: () => T | Promise<T>): Promise<T> {
  try {
    return await method();
  } catch (cause) {
    throw failureOfCode("E_OPTION", whose, cause);
  }
}

interface Collecting {
  begin(...given: never[]): { add(...told: never[]): unknown; end(): unknown };
}

/**
 * What a method asks to know, with failures that are said to be the method's.
 * @param answered whether what is told may be taken in later.
 */
export function statisticOf<S extends Collecting>(
  whose: string,
  statistic: S,
  answered: typeof answerOf | typeof awaitedAnswerOf = awaitedAnswerOf,
): S {
  const begin: Collecting["begin"] = (...given) => {
    const running = answerOf(whose, () => statistic.begin(...given));
    return {
      add: (...told) => answered(whose, () => running.add(...told)),
      end: () => answerOf(whose, () => running.end()),
    };
  };
  return Object.assign(Object.create(statistic), { begin });
}
