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

function coordinate(transformation: string, x: number, { input, output, scale }: AxisScale): number {
  switch (transformation) {
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

const clamp = (position: number, size: number): number => Math.min(size - 1, Math.max(0, position));

const roundings: Readonly<Record<string, (x: number, isDownsampling: boolean) => number>> = {
  simple: (x, isDownsampling) => (isDownsampling ? Math.ceil(x) : Math.trunc(x)),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Returns the input position that is nearest to an output position. */
export function nearestPosition(s: Interpolation, position: number, axis: AxisScale, isDownsampling: boolean): number {
  const x = coordinate(s.coordinates, position, axis);
  return clamp(roundings[s.nearest]?.(x, isDownsampling) ?? Math.ceil(x - 0.5), axis.input);
}

/** Returns the weights of all input positions for an output position; not for mode "nearest". */
export function weightsAt(s: Interpolation, position: number, axis: AxisScale): Float64Array {
  const { input, scale } = axis;
  const row = new Float64Array(input);
  const x = coordinate(s.coordinates, position, axis);
  const stretch = s.antialias ? Math.min(1, scale) : 1;
  const reach = (s.mode === "linear" ? 1 : 2) / stretch;
  const kernel = s.mode === "linear" ? linear : cubic(s.cubicA);
  // The border is repeated, unless outside positions are excluded.
  const excludes = s.excludeOutside && (s.antialias || s.mode === "cubic");
  const center = s.mode === "linear" && !s.antialias ? clamp(x, input) : x;
  let sum = 0;
  for (let source = Math.ceil(center - reach); source <= Math.floor(center + reach); source++) {
    const weight = kernel((source - center) * stretch);
    if (excludes && (source < 0 || source >= input)) continue;
    const index = clamp(source, input);
    row[index] = (row[index] ?? 0) + weight;
    sum += weight;
  }
  return (excludes || s.antialias) && sum !== 0 ? row.map((weight) => weight / sum) : row;
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
