/**
 * A linked list of nodes that can change while it is iterated. A node that is inserted before the current node is not visited, so a forward iteration
 * does not visit the result of a rewrite. A removed node keeps references to its neighbors, so that an iteration can continue from it.
 */
export class NodeList<N extends Linked<N>> {
  #first: N | undefined;
  #last: N | undefined;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get last(): N | undefined {
    return this.#last;
  }

  *forwards(): Generator<N, void, undefined> {
    for (let node = this.#first; node !== undefined; node = node.next) if (!node.isRemoved) yield node;
  }

  *backwards(): Generator<N, void, undefined> {
    for (let node = this.#last; node !== undefined; node = node.previous) if (!node.isRemoved) yield node;
  }

  insert(node: N, after: N | undefined): void {
    node.previous = after;
    node.next = after === undefined ? this.#first : after.next;
    if (node.next === undefined) this.#last = node;
    else node.next.previous = node;
    if (after === undefined) this.#first = node;
    else after.next = node;
    this.#count++;
  }

  remove(node: N): void {
    if (node.previous === undefined) this.#first = node.next;
    else node.previous.next = node.next;
    if (node.next === undefined) this.#last = node.previous;
    else node.next.previous = node.previous;
    node.isRemoved = true;
    this.#count--;
  }

  reorder(nodes: readonly N[]): void {
    this.#first = this.#last = undefined;
    this.#count = 0;
    for (const node of nodes) this.insert(node, this.#last);
  }
}

interface Linked<N> {
  previous: N | undefined;
  next: N | undefined;
  isRemoved: boolean;
}
