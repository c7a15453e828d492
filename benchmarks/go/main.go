// The controller-runtime side of bin/bench: the same work as kcontroller_side.py, as people write it.
//
//	sync       all objects are in memory and a handler has heard of each
//	reconcile  and a Reconciler has read each of them once from there
//	write      and has patched the status of each, and has seen that in memory
//	latency    and reconciles what a writer changes
//
// It takes its work as one argument of JSON and prints what it saw as one line of JSON when the work is done.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// work is what to do: duel.py has the same fields.
type work struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Form       string `json:"form"`
	Objects    int    `json:"objects"`
	Workers    int    `json:"workers"`
	Writes     int    `json:"writes"`
	DuringSync bool   `json:"during_sync"`
	Mark       int64  `json:"mark"`

	strip bool // Cut managedFields before an object is kept: form "typed-stripped".
}

// report is the last line that the process prints.
type report struct {
	Objects   int       `json:"objects"`
	Latencies []float64 `json:"latencies_ms,omitempty"`
	Syncs     int       `json:"syncs,omitempty"`
}

// synced says so and waits until the other side has looked at the clock.
func synced() {
	fmt.Println("synced")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(err)
	}
}

func (w *work) newManager() (ctrl.Manager, error) {
	ctrl.SetLogger(zap.New())
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	addWidgets(scheme)
	kept := cache.Options{}
	if w.strip {
		kept.DefaultTransform = cache.TransformStripManagedFields()
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Cache:   kept,
		Metrics: metrics.Options{BindAddress: "0"},
		// Off by default: without it each read of an unstructured object asks the server.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
}

// run does the work from the start of a manager to its orderly end.
func (w *work) run() (report, error) {
	manager, err := w.newManager()
	if err != nil {
		return report{}, err
	}
	task, err := w.task(manager)
	if err != nil {
		return report{}, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	result, err := task(ctx)
	stop()
	if err == nil {
		err = <-ended
	}
	return result, err
}

// task sets the manager up; what it returns waits until the work is done.
func (w *work) task(manager ctrl.Manager) (func(context.Context) (report, error), error) {
	kind := w.kind()
	switch w.Name {
	case "sync":
		return func(ctx context.Context) (report, error) {
			heard, err := countAll(ctx, manager.GetCache(), kind.new())
			return report{Objects: heard}, err
		}, nil
	case "reconcile":
		return w.reconcile(manager, &reader{Client: manager.GetClient(), kind: kind, seen: newSeen(w.Objects)})
	case "write":
		return w.reconcile(manager, &patcher{
			Client: manager.GetClient(), kind: kind, mark: w.Mark, seen: newSeen(w.Objects),
		})
	case "latency":
		return w.reconcile(manager, &listener{
			reader:  reader{Client: manager.GetClient(), kind: kind, seen: newSeen(w.Objects)},
			started: time.Now().UnixNano(), written: newSeen(w.Writes), work: w, cache: manager.GetCache(),
		})
	}
	return nil, fmt.Errorf("no benchmark %q", w.Name)
}

func main() {
	var w work
	err := json.Unmarshal([]byte(os.Args[1]), &w)
	w.Form, w.strip = strings.CutSuffix(w.Form, "-stripped")
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
