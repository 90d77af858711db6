/**
 * Computes, for interpolation along one axis (Resize), the input positions and weights of each output position. `antialias` widens the kernel by
 * 1 / scale when downsampling. Coordinates are rounded to float32 as in ONNX Runtime, because ⌊x⌋ of the exact coordinate can differ.
 */

export interface Interpolation {
  readonly mode: "nearest" | "linear" | "cubic";
  /** The attribute `coordinate_transformation_mode`. */
  readonly coordinates: string;
  /** The attribute `nearest_mode`. */
  readonly nearest: string;
  /** The attribute `cubic_coeff_a`. */
  readonly cubicA: number;
  readonly excludeOutside: boolean;
  readonly antialias: boolean;
}

export interface AxisScale {
  /** The input size. */
  readonly input: number;
  /** The output size. */
  readonly output: number;
  /** The output size divided by the input size, as the node specifies it. */
  readonly scale: number;
}

const { fround } = Math;

function inputCoordinate(transformation: string, x: number, { input, output, scale }: AxisScale): number {
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

const roundingModes: Readonly<Record<string, (x: number, isDownsampling: boolean) => number>> = {
  simple: (x, isDownsampling) => (isDownsampling ? Math.ceil(x) : Math.trunc(x)),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Returns the input position that is nearest to an output position. */
export function nearestPosition(s: Interpolation, position: number, axis: AxisScale, isDownsampling: boolean): number {
  const x = inputCoordinate(s.coordinates, position, axis);
  return clamp(roundingModes[s.nearest]?.(x, isDownsampling) ?? Math.ceil(x - 0.5), axis.input);
}

/** Returns the weights of all input positions for an output position, in the modes "linear" and "cubic". */
export function weightsAt(s: Interpolation, position: number, axis: AxisScale): Float64Array {
  const { input, scale } = axis;
  const row = new Float64Array(input);
  const x = inputCoordinate(s.coordinates, position, axis);
  const stretch = s.antialias ? Math.min(1, scale) : 1;
  const kernelRadius = (s.mode === "linear" ? 1 : 2) / stretch;
  const kernel = s.mode === "linear" ? linearKernel : cubicKernel(s.cubicA);
  // Positions outside of the input have the value at the border, or, if they are excluded, the weight 0.
  const excludesOutside = s.excludeOutside && (s.antialias || s.mode === "cubic");
  const center = s.mode === "linear" && !s.antialias ? clamp(x, input) : x;
  let sum = 0;
  for (let source = Math.ceil(center - kernelRadius); source <= Math.floor(center + kernelRadius); source++) {
    const weight = kernel((source - center) * stretch);
    if (excludesOutside && (source < 0 || source >= input)) continue;
    const index = clamp(source, input);
    row[index] = (row[index] ?? 0) + weight;
    sum += weight;
  }
  return (excludesOutside || s.antialias) && sum !== 0 ? row.map((weight) => weight / sum) : row;
}

function linearKernel(distance: number): number {
  return Math.max(0, 1 - Math.abs(distance));
}

/** Returns the cubic convolution kernel of Keys (1981) with the coefficient a, usually -0.75 or -0.5. */
function cubicKernel(a: number): (distance: number) => number {
  return (distance) => {
    const d = Math.abs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  };
}
