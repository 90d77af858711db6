/**
 * Expected drop of accuracy on other samples. With few samples the measured difference is mostly noise, but the share f of changed predictions is
 * not. About 0.4 of the changes are a net loss (0.33 to 0.45 for ResNet-20 in 4 bits, pruned and not). Both estimates are weighted by their
 * variances:
 *
 *     d₁ = (lost − gained) / n     variance f / n
 *     d₂ = 0.4 f                   variance (0.15 f)² + 0.4² f (1 − f) / n
 */
export function expectedDrop(found: {
  readonly drop: number;
  /** Share of predictions that differ from the original's. */
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
