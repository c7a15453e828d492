{{- /* Values that do not go together; each text names the values and the remedy. */ -}}
{{- define "kcontroller.checks" -}}
{{- if .Values.leaderElection.enabled }}
{{- if le (int .Values.leaderElection.leaseDurationSeconds) (int .Values.leaderElection.renewDeadlineSeconds) }}
{{- fail (printf "leaderElection.leaseDurationSeconds (%v) must be more than leaderElection.renewDeadlineSeconds (%v): a leader must have given up before others take over" .Values.leaderElection.leaseDurationSeconds .Values.leaderElection.renewDeadlineSeconds) }}
{{- end }}
{{- if le (mul 10 (int .Values.leaderElection.renewDeadlineSeconds)) (mul 12 (int .Values.leaderElection.retryPeriodSeconds)) }}
{{- fail (printf "leaderElection.renewDeadlineSeconds (%v) must be more than 1.2 times leaderElection.retryPeriodSeconds (%v): a leader needs a second try" .Values.leaderElection.renewDeadlineSeconds .Values.leaderElection.retryPeriodSeconds) }}
{{- end }}
{{- else }}
{{- if gt (int .Values.replicas) 1 }}
{{- fail (printf "replicas (%v) needs leader election, or every pod would do the same work; set leaderElection.enabled to true, or replicas to 1" .Values.replicas) }}
{{- end }}
{{- if and .Values.strategy (ne (default "RollingUpdate" (index .Values.strategy "type")) "Recreate") }}
{{- fail "strategy.type must be Recreate without leader election: an update would run two pods at a time; set leaderElection.enabled to true, or leave strategy empty" }}
{{- end }}
{{- end }}
{{- $release := ternary (int .Values.leaderElection.renewDeadlineSeconds) 0 .Values.leaderElection.enabled }}
{{- if le (int .Values.shutdown.gracePeriodSeconds) (add (int .Values.shutdown.drainSeconds) $release) }}
{{- fail (printf "shutdown.gracePeriodSeconds (%v) must be more than shutdown.drainSeconds (%v)%s: the kubelet would kill what still drains" .Values.shutdown.gracePeriodSeconds .Values.shutdown.drainSeconds (ternary (printf " and leaderElection.renewDeadlineSeconds (%v), for giving back the Lease" .Values.leaderElection.renewDeadlineSeconds) "" .Values.leaderElection.enabled)) }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.health.port) }}
{{- fail (printf "metrics.port and health.port are both %v; give one of them another" .Values.metrics.port) }}
{{- end }}
{{- if and (not .Values.metrics.secure) (or .Values.metrics.certSecretName .Values.metrics.readerRole) }}
{{- fail "metrics.certSecretName and metrics.readerRole need metrics.secure: without it metrics are open to everybody; set it to true" }}
{{- end }}
{{- if and (not .Values.provider.name) (or .Values.provider.options .Values.provider.projectKubeconfig.secretName .Values.provider.kubeconfigs.secretName .Values.provider.canary.selector) }}
{{- fail "provider.options, provider.projectKubeconfig, provider.kubeconfigs and provider.canary need provider.name; set it, for example to milo" }}
{{- end }}
{{- if and (not .Values.provider.name) .Values.rates.clusterQps }}
{{- fail (printf "rates.clusterQps (%v) is of the clusters of a provider; set provider.name, or rates.qps instead" .Values.rates.clusterQps) }}
{{- end }}
{{- if or (and .Values.rates.clusterBurst (not .Values.rates.clusterQps)) (and .Values.rates.burst (not .Values.rates.qps)) }}
{{- fail "rates.clusterBurst needs rates.clusterQps, and rates.burst needs rates.qps: without it nothing is limited" }}
{{- end }}
{{- if and .Values.provider.projectKubeconfig.secretName (ne .Values.provider.name "milo") }}
{{- fail (printf "provider.projectKubeconfig is for provider milo, not %s; leave it empty, or set provider.name to milo" .Values.provider.name) }}
{{- end }}
{{- if and .Values.provider.kubeconfigs.secretName (ne .Values.provider.name "file") }}
{{- fail (printf "provider.kubeconfigs is for provider file, not %s; leave it empty, or set provider.name to file" .Values.provider.name) }}
{{- end }}
{{- if and (eq .Values.provider.name "file") (eq (empty .Values.provider.kubeconfigs.secretName) (not (hasKey .Values.provider.options "path"))) }}
{{- fail "provider file needs its kubeconfigs from one place: set either provider.kubeconfigs.secretName or provider.options.path" }}
{{- end }}
{{- if and (eq .Values.provider.name "static") (not (hasKey .Values.provider.options "contexts")) }}
{{- fail "provider static needs provider.options.contexts: the contexts of the kubeconfig, separated by commas" }}
{{- end }}
{{- if and (eq .Values.provider.name "kubeconfig") (hasKey .Values.provider.options "selector") (not (trim (toString (index .Values.provider.options "selector")))) }}
{{- fail "provider.options.selector of provider kubeconfig is empty: every Secret would be read; name labels, or leave it out" }}
{{- end }}
{{- if and .Values.provider.projectKubeconfig.secretName (hasKey .Values.provider.options "project-kubeconfig") }}
{{- fail "provider.options.project-kubeconfig and provider.projectKubeconfig.secretName name two kubeconfigs; remove one" }}
{{- end }}
{{- if and .Values.kubeconfig.context (not .Values.kubeconfig.secretName) }}
{{- fail "kubeconfig.context needs kubeconfig.secretName: the pod's service account has no contexts" }}
{{- end }}
{{- if and .Values.plugins.allPlugins .Values.plugins.entryPoints }}
{{- fail "plugins.allPlugins runs every installed plugin, plugins.entryPoints names some; set one of them" }}
{{- end }}
{{- end }}
