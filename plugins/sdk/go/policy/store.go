package policy

import "time"

// Store is what a plugin remembers from one message to the next: keys with values that expire, and counters. All workers
// see the same. Grant: store or store:NAME.
type Store struct{ source source }

// Store of the stage, or the one that it shares.
func (transaction *Transaction) Store() Store { return Store{transaction.source} }

// Get gives the value; found is false when there is none, or it has expired.
func (store Store) Get(key string) (value []byte, found bool, err error) {
	return store.source.storeGet(key)
}

// Set keeps a value (at most 65 536 bytes, key at most 512) for a time of 1 second to 366 days; rounded up to seconds.
func (store Store) Set(key string, value []byte, lifetime time.Duration) error {
	return store.source.storeSet(key, value, seconds(lifetime))
}

// Remove removes a value or a counter; it need not exist.
func (store Store) Remove(key string) error { return store.source.storeRemove(key) }

// Add adds to a counter in one step and gives its new value. A counter that does not exist begins at 0 and lives for window
// from then on, whatever is added later. Adding 0 reads it without making one.
func (store Store) Add(key string, amount int, window time.Duration) (int, error) {
	return store.source.storeAdd(key, amount, seconds(window))
}

func seconds(duration time.Duration) int {
	return int((duration + time.Second - 1) / time.Second)
}
