// The controller-runtime side of `bin/bench informer`: the same work as kcontroller_side.py, as people write it.
//
// It keeps all Widgets in memory ("sync"), or reads each of them once from there in a Reconciler ("reconcile"), prints
// what that took as one line of JSON, and ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const syncedPoll = 5 * time.Millisecond

// point is what the process has used up to a moment.
type point struct {
	Wall   float64 `json:"wall_s"`
	CPU    float64 `json:"cpu_s"`
	Peak   float64 `json:"peak_mb"`
	Memory float64 `json:"rss_mb"`
}

// report is the line that the process prints.
type report struct {
	Synced  point `json:"synced"`
	Done    point `json:"done"`
	Objects int   `json:"objects"`
}

type work struct {
	mode    string
	new     func() client.Object
	size    func(client.Object) int64
	objects int
	workers int
	started time.Time
}

func (w *work) now() point {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return point{
		Wall:   time.Since(w.started).Seconds(),
		CPU:    seconds(usage.Utime) + seconds(usage.Stime),
		Peak:   status("VmHWM:"),
		Memory: status("VmRSS:"),
	}
}

// status reads a size of /proc/self/status, in MB.
func status(name string) float64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); fields[0] == name {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				panic(err)
			}
			return float64(kilobytes) / 1024
		}
	}
	panic("/proc/self/status has no " + name)
}

func newManager() (ctrl.Manager, error) {
	ctrl.SetLogger(zap.New())
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	addWidgets(scheme)
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: metrics.Options{BindAddress: "0"},
		// Off by default: without it each read of an unstructured object asks the server.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
}

// sync waits until all objects are in memory and a handler has heard of each.
func (w *work) sync(ctx context.Context, manager ctrl.Manager) (report, error) {
	informer, err := manager.GetCache().GetInformer(ctx, w.new(), cache.BlockUntilSynced(false))
	if err != nil {
		return report{}, err
	}
	var heard atomic.Int64
	handler, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: func(any) { heard.Add(1) }})
	if err != nil {
		return report{}, err
	}
	for !handler.HasSynced() {
		time.Sleep(syncedPoll)
	}
	now := w.now()
	return report{Synced: now, Done: now, Objects: int(heard.Load())}, nil
}

// reader reads each object once from memory.
type reader struct {
	client.Client
	work  *work
	lock  sync.Mutex
	seen  map[string]struct{}
	first point
	done  chan report
}

func (r *reader) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	r.begin()
	widget := r.work.new()
	if err := r.Get(ctx, request.NamespacedName, widget); err != nil {
		return ctrl.Result{}, err
	}
	if r.work.size(widget) < 1 {
		return ctrl.Result{}, fmt.Errorf("%s has no replicas", request)
	}
	r.end(request.Name)
	return ctrl.Result{}, nil
}

func (r *reader) begin() {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.first.Wall == 0 { // Workers start when the cache is synced.
		r.first = r.work.now()
	}
}

func (r *reader) end(name string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	before := len(r.seen)
	r.seen[name] = struct{}{}
	if before < len(r.seen) && len(r.seen) == r.work.objects {
		r.done <- report{Synced: r.first, Done: r.work.now(), Objects: len(r.seen)}
	}
}

func (w *work) reconcile(manager ctrl.Manager) (<-chan report, error) {
	r := &reader{Client: manager.GetClient(), work: w, seen: map[string]struct{}{}, done: make(chan report, 1)}
	options := controller.Options{MaxConcurrentReconciles: w.workers}
	return r.done, ctrl.NewControllerManagedBy(manager).For(w.new()).WithOptions(options).Complete(r)
}

func (w *work) run() (report, error) {
	manager, err := newManager()
	if err != nil {
		return report{}, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var done <-chan report
	if w.mode == "reconcile" {
		if done, err = w.reconcile(manager); err != nil {
			return report{}, err
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- manager.Start(ctx) }()
	if w.mode == "sync" {
		return w.sync(ctx, manager)
	}
	select {
	case result := <-done:
		return result, nil
	case err := <-failed:
		return report{}, err
	}
}

func parse(arguments []string) (*work, error) {
	if len(arguments) != 5 {
		return nil, fmt.Errorf("usage: MODE FORM OBJECTS WORKERS STARTED")
	}
	w := &work{mode: arguments[0], new: newTyped, size: typedSize}
	if arguments[1] == "unstructured" {
		w.new, w.size = newUnstructured, unstructuredSize
	}
	var err error
	if w.objects, err = strconv.Atoi(arguments[2]); err != nil {
		return nil, err
	}
	if w.workers, err = strconv.Atoi(arguments[3]); err != nil {
		return nil, err
	}
	started, err := strconv.ParseFloat(arguments[4], 64)
	w.started = time.UnixMicro(int64(started * 1e6))
	return w, err
}

func newTyped() client.Object { return &Widget{} }

func typedSize(object client.Object) int64 { return object.(*Widget).Spec.Replicas }

func newUnstructured() client.Object {
	widget := &unstructured.Unstructured{}
	widget.SetGroupVersionKind(widgets.WithKind("Widget"))
	return widget
}

func unstructuredSize(object client.Object) int64 {
	replicas, _, _ := unstructured.NestedInt64(object.(*unstructured.Unstructured).Object, "spec", "replicas")
	return replicas
}

func main() {
	w, err := parse(os.Args[1:])
	if err == nil {
		var result report
		if result, err = w.run(); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(result)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
