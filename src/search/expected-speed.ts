/**
 * Estimates the exponent e in speed = l⁻ᵉ for structures of a family that leave a share l of the bytes. The prior 0.6 and the measurements are
 * weighted by their variances. The error of a log speed is about 0.1, because some channel counts are slow and machines are busy:
 *
 *     e₀ = 0.6                      variance 0.3²
 *     e₁ = ln(speed) / ln(1 / l)    variance (0.1 / ln(1 / l))²
 */
export function exponentOfSpeed(measured: readonly { readonly left: number; readonly speed: number }[]): number {
  let [weight, sum] = [1 / spread ** 2, usual / spread ** 2];
  for (const { left, speed } of measured) {
    const depth = Math.log(1 / left);
    weight += (depth / noise) ** 2;
    sum += (depth * Math.log(speed)) / noise ** 2;
  }
  return sum / weight;
}

const [usual, spread] = [0.6, 0.3];
const noise = 0.1;
