/**
 * Interpolation along one axis: the input positions and weights of each output position. `antialias` widens the kernel by the factor.
 * Arithmetic is float32 where ONNX Runtime's is, because ⌊x⌋ of an exact and of a rounded coordinate can differ.
 */

export interface Interpolation {
  readonly mode: "nearest" | "linear" | "cubic";
  /** coordinate_transformation_mode */
  readonly coordinates: string;
  readonly nearest: string;
  readonly cubicA: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
}

export interface AxisScale {
  readonly input: number;
  readonly output: number;
  readonly scale: number;
}

const { fround } = Math;

export function coordinate(how: string, x: number, { input, output, scale }: AxisScale): number {
  switch (how) {
    case "asymmetric":
      return fround(x / scale);
    case "align_corners":
      return output === 1 ? 0 : fround(fround(x * (input - 1)) / (output - 1));
    case "pytorch_half_pixel":
      return output > 1 ? fround(fround((x + 0.5) / scale) - 0.5) : 0;
    case "tf_half_pixel_for_nn":
      return fround((x + 0.5) / scale);
    case "half_pixel_symmetric": {
      // ONNX Runtime computes only this sum in double.
      const offset = fround((input / 2) * fround(1 - fround(output / fround(scale * input))));
      return fround(offset + (x + 0.5) / fround(scale) - 0.5);
    }
    default:
      return fround(fround((x + 0.5) / scale) - 0.5);
  }
}

const clamp = (place: number, size: number): number => Math.min(size - 1, Math.max(0, place));

export function nearestPlace(how: string, at: number, input: number, downsampling: boolean): number {
  switch (how) {
    case "simple":
      return clamp(downsampling ? Math.ceil(at) : Math.trunc(at), input);
    case "round_prefer_ceil":
      return clamp(Math.floor(at + 0.5), input);
    case "floor":
      return clamp(Math.floor(at), input);
    case "ceil":
      return clamp(Math.ceil(at), input);
    default:
      return clamp(Math.ceil(at - 0.5), input);
  }
}

export function weightsAt(how: Interpolation, x: number, axis: AxisScale): Float64Array {
  const { input, scale } = axis;
  const row = new Float64Array(input);
  const at = coordinate(how.coordinates, x, axis);
  if (how.mode === "nearest") {
    row[nearestPlace(how.nearest, at, input, scale < 1)] = 1;
    return row;
  }
  const stretch = how.antialias ? Math.min(1, scale) : 1;
  const reach = (how.mode === "linear" ? 1 : 2) / stretch;
  const kernel = how.mode === "linear" ? linear : cubic(how.cubicA);
  // The border is repeated, unless outside positions are excluded.
  const leftOut = how.excludeOutside && (how.antialias || how.mode === "cubic");
  const centre = how.mode === "linear" && !how.antialias ? Math.min(input - 1, Math.max(0, at)) : at;
  let sum = 0;
  for (let place = Math.ceil(centre - reach); place <= Math.floor(centre + reach); place++) {
    const weight = kernel((place - centre) * stretch);
    if (leftOut && (place < 0 || place >= input)) continue;
    const inside = clamp(place, input);
    row[inside] = (row[inside] ?? 0) + weight;
    sum += weight;
  }
  return (leftOut || how.antialias) && sum !== 0 ? row.map((weight) => weight / sum) : row;
}

function linear(distance: number): number {
  return Math.max(0, 1 - Math.abs(distance));
}

/** Keys' cubic convolution: a = -0.75 or -0.5. */
function cubic(a: number): (distance: number) => number {
  return (distance) => {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
}
