import { optionError } from "../errors.ts";
import { dimsText, elementCount } from "./dims.ts";

/** A row-major tensor along an axis: `outer` blocks, each with `count` runs of `inner` consecutive elements. */
export interface AxisLayout {
  readonly outer: number;
  readonly count: number;
  readonly inner: number;
}

/** Returns the layout along `axes` axes, taken as one. @throws PithError E_OPTION if there is no such axis. */
export function axisLayout(dims: readonly number[], axis: number, axes = 1): AxisLayout {
  const start = axis < 0 ? axis + dims.length : axis;
  const end = start + axes;
  if (dims[start] === undefined) throw optionError(`${dimsText(dims)} has no axis ${axis}.`);
  const count = elementCount(dims.slice(start, end));
  return { outer: elementCount(dims.slice(0, start)), count, inner: elementCount(dims.slice(end)) };
}

/** Row-major, in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis] ?? 1;
  }
  return strides;
}
