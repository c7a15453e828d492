// The side of multicluster-runtime in bin/bench fleet: the same work as fleet_side.py, as people write it.
//
// It takes its work as one argument of JSON, prints "synced" when the ConfigMap of every cluster was reconciled once,
// waits for a line, and prints what it saw as one line of JSON at its end.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcbuilder "sigs.k8s.io/multicluster-runtime/pkg/builder"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"
)

const patience = 60 * time.Second

// work is what to do: fleets.py has these fields and more.
type work struct {
	Clusters int `json:"clusters"`
	Workers  int `json:"workers"`
}

// report is the last line that the process prints.
type report struct {
	Objects int `json:"objects"`
}

// reconciler reads the ConfigMap of each cluster from memory and counts the clusters.
type reconciler struct {
	manager mcmanager.Manager
	want    int
	lock    sync.Mutex
	seen    map[multicluster.ClusterName]bool
	all     chan struct{}
}

func (r *reconciler) Reconcile(ctx context.Context, request mcreconcile.Request) (ctrl.Result, error) {
	cluster, err := r.manager.GetCluster(ctx, request.ClusterName)
	if err != nil {
		return ctrl.Result{}, err
	}
	found := &corev1.ConfigMap{}
	if err := cluster.GetClient().Get(ctx, request.NamespacedName, found); err != nil {
		return ctrl.Result{}, err
	}
	r.add(request.ClusterName)
	return ctrl.Result{}, nil
}

func (r *reconciler) add(name multicluster.ClusterName) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.seen[name] {
		return
	}
	r.seen[name] = true
	if len(r.seen) == r.want {
		close(r.all)
	}
}

func (r *reconciler) count() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return len(r.seen)
}

// wait waits until all clusters were seen, or no new one has come for long, and says how many there are.
func (r *reconciler) wait() int {
	for before := -1; ; {
		select {
		case <-r.all:
			return r.count()
		case <-time.After(patience):
			if count := r.count(); count == before {
				return count
			}
			before = r.count()
		}
	}
}

func (w *work) run() error {
	ctrl.SetLogger(zap.New())
	kubeconfig, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	hub, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	provider := newContexts(kubeconfig)
	manager, err := mcmanager.New(hub, provider, ctrl.Options{Metrics: metrics.Options{BindAddress: "0"}})
	if err != nil {
		return err
	}
	r := &reconciler{
		manager: manager, want: w.Clusters,
		seen: map[multicluster.ClusterName]bool{}, all: make(chan struct{}),
	}
	options := controller.TypedOptions[mcreconcile.Request]{MaxConcurrentReconciles: w.Workers}
	err = mcbuilder.ControllerManagedBy(manager).For(&corev1.ConfigMap{}).WithOptions(options).Complete(r)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(ctx) }()
	result := report{Objects: r.wait()}
	fmt.Println("synced")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	stop()
	return <-ended
}

func main() {
	var w work
	err := json.Unmarshal([]byte(os.Args[1]), &w)
	if err == nil {
		err = w.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
