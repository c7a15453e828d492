package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	syncedPoll = 5 * time.Millisecond
	patience   = 60 * time.Second
	written    = "bench.example.com/written"
)

// countAll waits until all objects of a kind are in memory and a handler has heard of each.
func countAll(ctx context.Context, from cache.Cache, object client.Object) (int, error) {
	informer, err := from.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return 0, err
	}
	heard := 0 // A handler is called by one goroutine, HasSynced after its last call.
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: func(any) { heard++ }})
	if err != nil {
		return 0, err
	}
	for !handler.HasSynced() {
		time.Sleep(syncedPoll)
	}
	return heard, nil
}

// seen keeps the first figure of each different request and tells when there are enough.
type seen struct {
	lock    sync.Mutex
	figures map[ctrl.Request]float64
	want    int
	all     chan struct{}
}

func newSeen(want int) *seen {
	return &seen{figures: map[ctrl.Request]float64{}, want: want, all: make(chan struct{})}
}

// add counts the request with its figure if it is a new one.
func (s *seen) add(request ctrl.Request, figure float64) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if _, known := s.figures[request]; known {
		return
	}
	s.figures[request] = figure
	if len(s.figures) == s.want {
		close(s.all)
	}
}

func (s *seen) list() []float64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return slices.Collect(maps.Values(s.figures))
}

func (s *seen) count() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(s.figures)
}

// wait waits until there are enough, or no new one has come for long, and says how many there are.
func (s *seen) wait() int {
	for before := -1; ; {
		select {
		case <-s.all:
			return s.count()
		case <-time.After(patience):
			count := s.count()
			if count == before {
				return count
			}
			before = count
		}
	}
}

// task is a Reconciler that knows when its work is done.
type task interface {
	reconcile.Reconciler
	wait(ctx context.Context) (report, error)
}

func (w *work) reconcile(manager ctrl.Manager, t task) (func(context.Context) (report, error), error) {
	options := controller.Options{MaxConcurrentReconciles: w.Workers}
	return t.wait, ctrl.NewControllerManagedBy(manager).For(w.kind().new()).WithOptions(options).Complete(t)
}

// reader reads each object once from memory.
type reader struct {
	client.Client
	kind kind
	seen *seen
}

func (r *reader) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	_, err := r.read(ctx, request)
	return ctrl.Result{}, err
}

func (r *reader) read(ctx context.Context, request ctrl.Request) (client.Object, error) {
	object := r.kind.new()
	if err := r.Get(ctx, request.NamespacedName, object); err != nil {
		return nil, err
	}
	if r.kind.size(object) < 1 {
		return nil, fmt.Errorf("%s is empty", request)
	}
	r.seen.add(request, 0)
	return object, nil
}

func (r *reader) wait(context.Context) (report, error) { return report{Objects: r.seen.wait()}, nil }

// patcher patches the status of each object once, and is done when all of that is in memory.
type patcher struct {
	client.Client
	kind  kind
	mark  int64
	seen  *seen
	first sync.Once
}

func (p *patcher) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p.first.Do(synced) // Workers start when the cache is synced.
	object := p.kind.new()
	if err := p.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, err
	}
	if p.kind.marked(object) == p.mark {
		p.seen.add(request, 0)
		return ctrl.Result{}, nil
	}
	before := object.DeepCopyObject().(client.Object)
	p.kind.setMark(object, p.mark)
	return ctrl.Result{}, p.Status().Patch(ctx, object, client.MergeFrom(before))
}

func (p *patcher) wait(context.Context) (report, error) { return report{Objects: p.seen.wait()}, nil }

// listener notes how long after a write the reconcile of it starts.
type listener struct {
	reader
	started int64
	written *seen
	work    *work
	cache   cache.Cache
}

func (l *listener) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	now := time.Now().UnixNano()
	object, err := l.read(ctx, request)
	if err != nil {
		return ctrl.Result{}, err
	}
	// What an earlier contender's writer left is older than this process.
	if at, _ := strconv.ParseInt(object.GetAnnotations()[written], 10, 64); at > l.started {
		l.written.add(request, float64(now-at)/1e6)
	}
	return ctrl.Result{}, nil
}

func (l *listener) wait(ctx context.Context) (report, error) {
	objects := l.seen.wait()
	other, stop := context.WithCancel(ctx)
	defer stop()
	syncs := make(chan int, 1)
	go func() { syncs <- l.syncOther(other) }()
	synced()
	l.written.wait()
	stop()
	return report{Objects: objects, Latencies: l.written.list(), Syncs: <-syncs}, nil
}

// syncOther syncs another kind over and over, and says how often.
func (l *listener) syncOther(ctx context.Context) int {
	count := 0
	for l.work.DuringSync && ctx.Err() == nil {
		other := l.work.otherKind().new()
		if heard, err := countAll(ctx, l.cache, other); err != nil || heard != l.work.Objects {
			panic(fmt.Sprintf("synced %d of %d of another kind: %v", heard, l.work.Objects, err))
		}
		if err := l.cache.RemoveInformer(ctx, other); err != nil {
			panic(err)
		}
		count++
	}
	return count
}
