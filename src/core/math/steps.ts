/** Runs matrix algorithms, generators that yield factors and receive their product, synchronously or with an asynchronous `Multiply`. */
import { type Matrix, type Multiply, multiply as multiplySync } from "./matrix.ts";

export type Steps<T> = Generator<readonly [Matrix, Matrix], T, Matrix>;

/** Requests a product: `yield* product(a, b)`. */
export function* product(a: Matrix, b: Matrix): Steps<Matrix> {
  return yield [a, b];
}

export function runSteps<T>(steps: Steps<T>, multiply: Multiply): Promise<T>;
export function runSteps<T>(steps: Steps<T>, multiply: Multiply | undefined): T | Promise<T>;
export function runSteps<T>(steps: Steps<T>, multiply: Multiply | undefined): T | Promise<T> {
  return multiply === undefined ? runSync(steps) : runAsync(steps, multiply);
}

function runSync<T>(steps: Steps<T>): T {
  let next = steps.next();
  while (!next.done) next = steps.next(multiplySync(...next.value));
  return next.value;
}

async function runAsync<T>(steps: Steps<T>, multiply: Multiply): Promise<T> {
  let next = steps.next();
  while (!next.done) next = steps.next(await multiply(...next.value));
  return next.value;
}
