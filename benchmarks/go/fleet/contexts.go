package main

import (
	"context"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/multicluster-runtime/pkg/clusters"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

// atOnce is how many clusters are connected at the same time.
const atOnce = 100

// contexts is a provider of the contexts of a kubeconfig, each cached in its own namespace.
//
// It stands on clusters.Clusters, as the framework's documentation wants it. The kubeconfig and file providers that
// come with the framework take one set of options for all clusters, so that they cannot give each its namespace.
type contexts struct {
	clusters.Clusters[cluster.Cluster]
	kubeconfig *clientcmdapi.Config
}

var _ multicluster.ProviderRunnable = &contexts{}

func newContexts(kubeconfig *clientcmdapi.Config) *contexts {
	c := &contexts{Clusters: clusters.New[cluster.Cluster](), kubeconfig: kubeconfig}
	c.ErrorHandler = ctrllog.Log.WithName("contexts").Error
	return c
}

// Start adds all clusters, many at once: one after the other, each would wait for the round trips of those before it.
func (c *contexts) Start(ctx context.Context, aware multicluster.Aware) error {
	adding, addingCtx := errgroup.WithContext(ctx)
	adding.SetLimit(atOnce)
	for name := range c.kubeconfig.Contexts {
		if name == c.kubeconfig.CurrentContext {
			continue // The hub.
		}
		adding.Go(func() error {
			if addingCtx.Err() != nil {
				return addingCtx.Err()
			}
			return c.add(ctx, name, aware)
		})
	}
	if err := adding.Wait(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (c *contexts) add(ctx context.Context, name string, aware multicluster.Aware) error {
	config, err := clientcmd.NewNonInteractiveClientConfig(*c.kubeconfig, name, nil, nil).ClientConfig()
	if err != nil {
		return err
	}
	namespace := c.kubeconfig.Contexts[name].Namespace
	added, err := cluster.New(config, func(options *cluster.Options) {
		options.Cache.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	})
	if err != nil {
		return err
	}
	// The informer that the controller needs: it fills while the cluster is added, outside of the lock under which
	// controllers engage one cluster after the other.
	if _, err := added.GetCache().GetInformer(ctx, &corev1.ConfigMap{}, cache.BlockUntilSynced(false)); err != nil {
		return err
	}
	return c.Add(ctx, multicluster.ClusterName(name), added, aware)
}
