/**
 * The drop of accuracy that is expected on other samples. What is lost and gained nearly cancels, so that of few samples the difference is mostly
 * chance; the share f of answers that change is not. Of what changes about 0.4 is lost on balance (0.33 to 0.45 of ResNet-20 in 4 bits, pruned and
 * not). The two estimates are weighted by their variances:
 *
 *     d₁ = (lost − gained) / n     variance f / n
 *     d₂ = 0.4 f                   variance (0.15 f)² + 0.4² f (1 − f) / n
 */
export function expectedDrop(found: {
  readonly drop: number;
  /** The share of answers that are not the original's. */
  readonly changed: number;
  readonly samples: number;
}): number {
  const { drop, changed: f, samples: n } = found;
  if (f <= 0) return drop;
  const [own, byChange] = [f / n, (spread * f) ** 2 + (share ** 2 * f * (1 - f)) / n];
  return (drop / own + (share * f) / byChange) / (1 / own + 1 / byChange);
}

const share = 0.4;
const spread = 0.15;
