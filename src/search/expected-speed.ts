/**
 * The exponent e by which structures of a family make a model faster that leave a share l of its bytes: speed = l⁻ᵉ. It is about 0.6. What was
 * measured, and this, are weighted by their variances; the logarithm of a measured speed is off by about 0.1, as kernels
 * are slow for some numbers of channels and machines are busy:
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
