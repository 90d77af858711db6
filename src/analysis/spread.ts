/** Units spread over positions along links until nothing changes: which positions have one, and which units are the same. */
import { groupBy } from "../tensor/group-by.ts";
import { endKey, type Link } from "./channel-links.ts";
import { type Labels, sizeAlong } from "./units.ts";

interface LinkRule {
  readonly links: readonly Link[];
}

/** Axes of one operand that link to the same axis, such as those that a Flatten merges. */
export interface Alternatives {
  readonly links: readonly Link[];
  /** The one along which units are joined where none applies: the outermost unless another is chosen. */
  chosen: number;
  /** Whether units were joined along it. */
  joined: boolean;
}

export function alternativesIn(rules: readonly LinkRule[]): readonly Alternatives[] {
  return rules.flatMap(({ links }) =>
    [...groupBy(links, ({ from, to }) => `${from.port} ${endKey(to)}`).values()].map((set) => ({
      links: set,
      chosen: 0,
      joined: false,
    })),
  );
}

/**
 * A link from index i to the positions map(i) is followed forwards always, and backwards where map(i) carries one single unit. Of alternatives
 * one must apply. Where none does, the units of each image of the chosen one become one.
 */
export function spread(rules: readonly LinkRule[], labels: Labels, alternatives = alternativesIn(rules)): void {
  for (const set of alternatives) set.joined = false;
  const backwards = rules.toReversed();
  const done = new Map<LinkRule, LabelCounts>();
  do {
    let changed: boolean;
    do {
      const before = labels.changes;
      for (const rule of rules) followOnce(rule, labels, done);
      for (const rule of backwards) followOnce(rule, labels, done);
      changed = labels.changes !== before;
    } while (changed);
  } while (joinFirst(alternatives, labels));
}

/** The counts of changes and joins of the labels when a rule was last followed. */
interface LabelCounts {
  readonly changes: number;
  readonly joins: number;
}

/**
 * Follows a rule unless it would find what it found before: no position of its values got a unit since, and, where images count, no two
 * units became one. A deep network is swept as often as labels have to travel through it, and most of it is at rest in most sweeps.
 */
function followOnce(rule: LinkRule, labels: Labels, done: Map<LinkRule, LabelCounts>): void {
  const last = done.get(rule);
  const since = last?.changes ?? -1;
  const isAtRest = rule.links.every(
    ({ from, to, hasImages }) =>
      labels.reachedAt(from.value) <= since &&
      labels.reachedAt(to.value) <= since &&
      (!hasImages || labels.joins === last?.joins),
  );
  if (isAtRest) return;
  done.set(rule, { changes: labels.changes, joins: labels.joins });
  follow(rule, labels);
}

function follow(rule: LinkRule, labels: Labels): void {
  for (const link of rule.links) {
    const { from, to } = link;
    const start = labels.at(from);
    // Images take memory: only those are computed that something reaches.
    if (start === undefined && labels.at(to) === undefined) continue;
    const { images } = link;
    if (start !== undefined) {
      for (let index = 0; index < start.length; index++) {
        const unit = start[index] ?? -1;
        if (unit < 0) continue;
        if (images === undefined) labels.assign(to, index, unit);
        else for (const position of images[index] ?? []) labels.assign(to, position, unit);
      }
    }
    const end = labels.at(to);
    const size = sizeAlong(from);
    if (end === undefined || size === undefined || from.value === undefined) continue;
    for (let index = 0; index < size; index++) {
      const unit = images === undefined ? (end[index] ?? -1) : labels.common(end, images[index] ?? []);
      if (unit >= 0) labels.assign(from, index, unit);
    }
  }
}

/** The joins of one rule may tell what to do at the next: one node's at a time. */
function joinFirst(alternatives: readonly Alternatives[], labels: Labels): boolean {
  return alternatives.some((set) => joinAlternatives(set, labels));
}

/**
 * Where no axis of an operand accounts for all labelled positions of the axis it is linked to: joins the units of each image of the
 * chosen one. True if anything was joined.
 */
function joinAlternatives(set: Alternatives, labels: Labels): boolean {
  const { links, chosen } = set;
  const link = links[chosen];
  const end = link && labels.at(link.to);
  if (end === undefined || link?.images === undefined) return false;
  const covered = new Uint8Array(end.length);
  for (const { images } of links) {
    for (const image of images ?? []) {
      if (labels.common(end, image) >= 0) for (const position of image) covered[position] = 1;
    }
  }
  let joined = false;
  for (const image of link.images) {
    const open = image.find((position) => (end[position] ?? -1) >= 0 && covered[position] === 0);
    const unit = open === undefined ? undefined : end[open];
    if (unit === undefined) continue;
    for (const position of image) labels.assign(link.to, position, unit);
    joined = true;
  }
  set.joined ||= joined;
  return joined;
}
